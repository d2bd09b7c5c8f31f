"""Random histories: memory against a dict, and all implementations against each other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from adapters.azure_tables import AzureTables
from adapters.file_tables import FileTables
from adapters.memory_tables import MemoryTables
from kernel.tables import (
    Delete,
    Insert,
    Replace,
    Row,
    RowChanged,
    RowExists,
    Scalar,
    Span,
    Tables,
    Upsert,
    Write,
    every,
    ordinal,
)

STALE = "W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""
KEYS = ["", "a", "a ", "a!", "aa", "ab", "b", "it's", "z", "~", "é", "😀", "\ue000"]
PARTITIONS = ["p", "p!", "q"]

some_key = st.sampled_from(KEYS)
some_partition = st.sampled_from(PARTITIONS)
some_number = st.sampled_from([0, 1, -1, 1 << 40])
some_text = st.sampled_from(["", "x", "it's", "' or 1 eq 1"])
some_values = st.fixed_dictionaries(
    {},
    optional={
        "n": st.none() | some_number,
        "flag": st.booleans(),
        "text": some_text | st.just(17_000).map(lambda length: "😀" * length),
        "data": st.just(70_000).map(bytes),
    },
)
some_span = st.builds(
    Span,
    some_partition,
    partition_before=st.none() | some_partition,
    key_from=st.none() | some_key,
    key_before=st.none() | some_key,
    where=st.fixed_dictionaries({}, optional={"n": some_number, "flag": st.booleans(), "text": some_text}),
) | st.builds(Span.prefix, some_partition, some_key, after=st.none() | some_key)


@dataclass(frozen=True)
class Step:
    """A write whose ETag is not chosen yet: the row's own of that time, a stale one or, to delete, none."""

    kind: type[Insert | Replace | Upsert | Delete]
    key: str
    values: Mapping[str, Scalar | None]
    etag: str

    def write(self, partition: str, current: str) -> Write:
        """Return the write, for a row that has the ETag `current`."""
        etag = {"own": current or STALE, "stale": STALE, "none": ""}[self.etag]
        if issubclass(self.kind, Delete):
            return Delete(partition, self.key, etag)
        return self.kind(Row(partition, self.key, self.values, etag or STALE))


some_steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([Insert, Replace, Upsert, Delete]),
        some_key,
        some_values,
        st.sampled_from(["own", "own", "own", "stale", "none"]),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda step: step.key,
)


async def take(tables: Tables, table: str, partition: str, steps: list[Step]) -> str:
    """Commit the steps with the ETags of the moment and return what became of it."""
    found = [await tables.get(table, partition, step.key) for step in steps]
    writes = [step.write(partition, row.etag if row else "") for step, row in zip(steps, found, strict=True)]
    try:
        etags = await tables.commit(table, writes)
    except (RowExists, RowChanged) as error:
        return "RowExists" if isinstance(error, RowExists) else "RowChanged"
    return ",".join("etag" if etag else "none" for etag in etags)


async def look(tables: Tables, table: str, span: Span, page: int = 1000) -> list[tuple[str, str, dict[str, object]]]:
    """Return the rows of a span without their ETags, which differ between implementations."""
    return [(row.partition, row.key, dict(row.values)) async for row in every(tables, table, span, page=page)]


class MemoryAgainstDict(RuleBasedStateMachine):
    """MemoryTables does what a dict of rows and a sort would do."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.tables = MemoryTables()
        self.model: dict[tuple[str, str], Mapping[str, Scalar]] = {}

    def teardown(self) -> None:
        self.runner.close()

    @rule(partition=some_partition, steps=some_steps)
    def commit(self, partition: str, steps: list[Step]) -> None:
        outcome = self.runner.run(take(self.tables, "table", partition, steps))
        expected, after = self.expect(partition, steps)

        assert outcome == expected
        self.model = after

    def expect(self, partition: str, steps: list[Step]) -> tuple[str, dict[tuple[str, str], Mapping[str, Scalar]]]:
        """Return what the steps should lead to, of the first that fails, and the rows after it."""
        after = dict(self.model)
        for step in steps:
            place = (partition, step.key)
            missing = place not in self.model
            if step.kind is Insert and not missing:
                return "RowExists", self.model
            own = step.etag == "own" or (step.etag == "none" and step.kind is Delete)
            if step.kind in {Replace, Delete} and (missing or not own):
                return "RowChanged", self.model
            if step.kind is Delete:
                del after[place]
            else:
                after[place] = {name: value for name, value in step.values.items() if value is not None}
        return ",".join("none" if step.kind is Delete else "etag" for step in steps), after

    @rule(span=some_span, page=st.integers(1, 8))
    def query(self, span: Span, page: int) -> None:
        found = self.runner.run(look(self.tables, "table", span, page))
        in_order = sorted(self.model.items(), key=lambda item: tuple(map(ordinal, item[0])))

        assert found == [
            (partition, key, values)
            for (partition, key), values in in_order
            if (partition == span.partition if span.partition_before is None else partition >= span.partition)
            and (span.partition_before is None or partition < span.partition_before)
            and (span.key_from is None or ordinal(key) >= ordinal(span.key_from))
            and (span.key_before is None or ordinal(key) < ordinal(span.key_before))
            and all(name in values and values[name] == wanted for name, wanted in span.where.items())
        ]


TestMemoryAgainstDict = MemoryAgainstDict.TestCase
TestMemoryAgainstDict.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(some_partition, some_steps), min_size=5, max_size=12), spans=st.lists(some_span))
def test_memory_a_file_and_the_service_agree_on_any_history(
    connection: str, tmp_path: Path, history: list[tuple[str, list[Step]]], spans: list[Span]
) -> None:
    """Each commit ends alike, and whatever is asked afterwards is answered alike, over pages of one row too."""

    async def compare() -> None:
        memory, azure = MemoryTables(), AzureTables.from_connection_string(connection)
        file = FileTables(tmp_path / "storage.db")
        table = f"t{uuid.uuid4().hex}"
        try:
            for partition, steps in history:
                ends = [await take(tables, table, partition, steps) for tables in (memory, file, azure)]

                assert ends[0] == ends[1] == ends[2]
            for span in (Span("", partition_before="~"), *spans):
                expected = await look(memory, table, span)
                assert await look(file, table, span) == await look(azure, table, span) == expected
                assert await look(file, table, span, 1) == await look(azure, table, span, 2) == expected
        finally:
            await file.aclose()
            await azure.aclose()

    asyncio.run(compare())
