"""The entity protocol as the SDK 1.x really answers it, traps included, and the store behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.models.DurableOrchestrationBindings import DurableOrchestrationBindings

from devhost.durable.mailbox import Mailboxes, UnknownEntityError
from devhost.durable.protocol import (
    BatchResult,
    EntityId,
    EntityState,
    ProtocolError,
    Signal,
    batch_request,
    batch_response,
    client_binding,
    signal_input,
)
from devhost.durable.store import EntityStore
from devhost.errors import StartupError
from devhost.index import Function, index_functions
from devhost.invoke import Invoker
from tests.waiting import QUIET_S

NOW = datetime(2026, 11, 21, tzinfo=UTC)
ID = EntityId("counter", "k")


def _function() -> tuple[Function, list[str]]:
    """Return an entity function and the names of the operations it was asked for."""
    app = df.DFApp()
    asked: list[str] = []

    @app.entity_trigger(context_name="context", entity_name="Counter")
    def counter(context: df.DurableEntityContext) -> None:
        operation = context.operation_name or ""
        asked.append(operation)
        if operation == "add":
            value = context.get_state(lambda: 0, int) + context.get_input(int)
            context.set_state(value)
            context.set_result(value)
        elif operation == "set_then_raise":
            context.set_state(999)
            raise ValueError("no rollback")
        elif operation == "read":
            context.set_result(context.get_state(lambda: 0, int))
        elif operation == "delete":
            context.destruct_on_exit()

    (function,) = index_functions(app.get_functions())
    return function, asked


def _signals(*operations: str | tuple[str, Any]) -> list[Signal]:
    """Make signals as the SDK's client sends them: JSON of JSON."""
    pairs = [
        (item, None) if isinstance(item, str) else (item[0], json.dumps(json.dumps(item[1]))) for item in operations
    ]
    return [Signal(str(number), name, text) for number, (name, text) in enumerate(pairs)]


def _run(
    *operations: str | tuple[str, Any], state: EntityState | None = None
) -> tuple[BatchResult, list[dict[str, Any]]]:
    """Give one batch to the SDK and return what it did and the raw results."""
    function, _ = _function()
    signals = _signals(*operations)
    answer = function.call(batch_request(ID, state or EntityState(False, None), signals))
    return batch_response(answer, signals), json.loads(answer)["results"]


def test_a_batch_runs_in_order() -> None:
    """Inputs arrive, results come back by position, and the state is JSON text."""
    result, results = _run(("add", 3), ("add", 4))

    assert EntityState(True, "7") == result.state
    assert [item["result"] for item in results] == ["3", "7"]


def test_a_state_comes_back_as_it_was_written() -> None:
    """An existing state is handed over as text and an operation that leaves it alone returns it verbatim."""
    result, _ = _run("noop", state=EntityState(True, '{"a":1}'))

    assert EntityState(True, '{"a":1}') == result.state


def test_a_failed_operation_keeps_its_changes() -> None:
    """Trap: the SDK 1.x has no rollback; what was set before the exception is committed."""
    result, _ = _run("set_then_raise")

    assert EntityState(True, "999") == result.state
    assert result.errors == (("set_then_raise", '"no rollback"'),)


def test_a_result_leaks_into_the_next_operation() -> None:
    """Trap: an operation without a result returns the previous one's."""
    _, results = _run(("add", 8), "noop")

    assert [item["result"] for item in results] == ["8", "8"]


def test_reading_creates_an_entity() -> None:
    """Trap: setting a result makes an entity exist."""
    assert _run("read")[0].state.exists


def test_deleting_ends_an_entity() -> None:
    """After destruct_on_exit as the last operation nothing exists."""
    assert not _run("delete", state=EntityState(True, "5"))[0].state.exists


def test_input_is_decoded_twice() -> None:
    """Trap: JSON of JSON works, a plain JSON object sent by hand breaks get_input."""
    function, _ = _function()
    plain = [Signal("1", "add", signal_input(b'{"a": 1}', "application/json"))]

    result = batch_response(function.call(batch_request(ID, EntityState(False, None), plain)), plain)

    assert "must be str" in result.errors[0][1]
    assert signal_input(b'"5"', "application/json; charset=utf-8") == '"5"'


def test_signal_bodies() -> None:
    """No body is no input, other content types become JSON strings, and bad JSON is an error."""
    assert signal_input(b"", "application/json") is None
    assert signal_input(b"plain", "text/plain") == '"plain"'
    with pytest.raises(ValueError, match="Expecting"):
        signal_input(b"{", "application/json")


@pytest.mark.parametrize("answer", ["nonsense", "{}", '{"results": [], "entityExists": true}', None])
def test_an_invalid_answer_is_no_result(answer: Any) -> None:
    """Too few results, missing fields or no JSON at all must not be committed."""
    with pytest.raises(ProtocolError):
        batch_response(answer, _signals("noop"))


def test_the_client_binding_is_what_the_sdk_reads() -> None:
    """The SDK's own class reads the binding's value and finds the RPC address with its slash."""
    binding = DurableOrchestrationBindings.from_json(client_binding("Hub", "http://h/hooks", "http://r/durabletask/"))

    assert (
        binding.task_hub_name,
        binding.rpc_base_url,
        binding.management_urls["id"],
    ) == ("Hub", "http://r/durabletask/", "INSTANCEID")


# --- the store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entities.sqlite"


def test_state_and_signals_change_together(path: Path) -> None:
    """A commit writes the state, removes the batch and sends the outbox; signals that came meanwhile stay."""
    store = EntityStore(path)
    for number in range(3):
        store.enqueue(ID, Signal(str(number), "add", None))
    batch = store.pending(ID, 2)
    target = EntityId("other", "x")

    store.commit(
        ID,
        [sequence for sequence, _ in batch],
        BatchResult(EntityState(True, "5"), (), ((target, "go", None),)),
        [Signal("out", "go", None)],
        NOW,
    )

    assert EntityState(True, "5") == store.state(ID)
    assert [signal.id for _, signal in store.pending(ID, 10)] == ["2"]
    assert [signal.id for _, signal in store.pending(target, 10)] == ["out"]
    store.close()


def test_a_store_is_for_one_host(path: Path) -> None:
    """A second opening fails with a message, and works once the first is closed."""
    store = EntityStore(path)
    with pytest.raises(StartupError, match="in use by another host"):
        EntityStore(path)
    store.close()

    EntityStore(path).close()


# --- the mailboxes


@pytest.fixture
async def invoker() -> AsyncIterator[Invoker]:
    invoker = Invoker(timeout_s=0.5)
    yield invoker
    invoker.close()


def _mailboxes(function: Function, store: EntityStore, invoker: Invoker, batch: int = 5000) -> Mailboxes:
    return Mailboxes({"counter": function}, store, invoker, max_concurrent=10, max_batch_size=batch, now=lambda: NOW)


async def _drained(store: EntityStore) -> None:
    async with asyncio.timeout(QUIET_S):
        while store.entities_with_signals():  # noqa: ASYNC110 - looks into a database
            await asyncio.sleep(0.005)


async def test_waiting_signals_are_one_batch(path: Path, invoker: Invoker) -> None:
    """What has gathered runs in one invocation, up to the largest batch."""
    function, asked = _function()
    store = EntityStore(path)
    for signal in _signals(*[("add", 1)] * 7):
        store.enqueue(ID, signal)
    boxes = _mailboxes(function, store, invoker, batch=5)

    boxes.start()
    await _drained(store)

    assert (7, EntityState(True, "7")) == (len(asked), store.state(ID))
    await boxes.stop()
    store.close()


async def test_failed_operations_are_not_repeated(path: Path, invoker: Invoker) -> None:
    """An operation that raises is consumed, as with the real extension."""
    function, asked = _function()
    store = EntityStore(path)
    boxes = _mailboxes(function, store, invoker)

    boxes.signal(ID, "set_then_raise", None)
    await _drained(store)

    assert (["set_then_raise"], EntityState(True, "999")) == (asked, store.state(ID))
    await boxes.stop()
    store.close()


async def test_a_broken_function_keeps_its_signals(path: Path, invoker: Invoker) -> None:
    """A function that answers nonsense commits nothing; its batch runs again, and a later good answer counts."""
    function, _ = _function()
    calls: list[str] = []

    def flaky(context: Any) -> str:
        calls.append(context.body)
        return function.call(context) if len(calls) > 1 else "nonsense"

    store = EntityStore(path)
    broken = Function(**{**vars(function), "call": flaky})
    boxes = _mailboxes(broken, store, invoker)

    boxes.signal(ID, "add", json.dumps("2"))
    await _drained(store)

    assert (2, EntityState(True, "2")) == (len(calls), store.state(ID))
    assert calls[0] == calls[1]
    await boxes.stop()
    store.close()


async def test_a_timeout_consumes_the_batch_and_changes_nothing(path: Path, invoker: Invoker) -> None:
    """Past functionTimeout every operation counts as failed and the state stays."""
    function, _ = _function()

    async def slow(context: Any) -> str:
        await asyncio.sleep(60)
        return ""

    store = EntityStore(path)
    store.commit(ID, [], BatchResult(EntityState(True, "1"), (), ()), [], NOW)
    boxes = _mailboxes(Function(**{**vars(function), "call": slow, "is_async": True}), store, invoker)

    boxes.signal(ID, "add", None)
    await _drained(store)

    assert EntityState(True, "1") == store.state(ID)
    await boxes.stop()
    store.close()


async def test_unknown_entities_are_refused(path: Path, invoker: Invoker) -> None:
    """A signal nobody could ever take is an error for its sender."""
    store = EntityStore(path)
    boxes = _mailboxes(_function()[0], store, invoker)

    with pytest.raises(UnknownEntityError, match="nobody"):
        boxes.signal(EntityId("nobody", "k"), "x", None)
    store.close()
