"""How many table requests each kind of run makes, to the number: whoever adds one has to say so here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from lifecycle.specs.spec import AgentSpec
from llmops.budgets.budget_rules import Budget, Limit, parse_scope
from tests.lifecycle.app import TOOLED, App
from tests.lifecycle.doubles import CountingTables, spec
from tests.virtual_time import virtually

ROOT = Path(__file__).parents[2]
SUBMITTED = Counter({"commit runs": 1, "commit conversations": 1})
AGENT_READ = Counter({"query agents": 1})
SESSION_READ = Counter({"get conversations": 1})
SESSION_ENTERED = Counter({"commit due": 1, "commit sessions": 1, "commit opensessions": 1})
RUN = Counter({"get conversations": 2, "commit conversations": 2, "commit facts": 1})
HISTORY = Counter({"query conversations": 1})
CALL = Counter({"commit conversations": 1})
RESERVED = Counter({"commit budgets": 1})
BUDGETS_CLOSED = Counter({"commit budgets": 1})
PUBLISHED = Counter({"commit events": 1})

FIRST = SUBMITTED + AGENT_READ + SESSION_ENTERED + RUN
NEXT = SUBMITTED + SESSION_READ + RUN + HISTORY


async def started(declared: AgentSpec | None = None) -> tuple[App, CountingTables]:
    """Return an app whose worker has run the agent before, and what counts its requests."""
    tables = CountingTables()
    app = App(tables, BUDGET_TRUST_S=1000, RECORD_USE_EVERY_S=1000, RUN_LOOK_EVERY_S=5)
    await app.declare(declared=declared)
    await app.ask()
    await app.services.conversations.publisher.flush()
    tables.reset()
    return app, tables


async def counted(app: App, tables: CountingTables, **more: object) -> Counter[str]:
    """Return what a run requests until it is recorded and its fact written; its events are published apart from it."""
    await app.ask(**more)  # pyright: ignore[reportArgumentType] - fields of a request
    found = Counter({name: n for name, n in tables.operations.items() if not name.endswith(" events")})
    await app.services.conversations.publisher.flush()
    await app.aclose()
    return found


async def in_session(app: App, tables: CountingTables) -> str:
    """Return a session that has had a run, whose requests are not counted."""
    session = (await app.ask()).session_id
    await app.services.conversations.publisher.flush()
    tables.reset()
    return session


def requests(found: Counter[str], kinds: Iterable[str]) -> int:
    return sum(count for name, count in found.items() if name.split(" ")[0] in kinds)


def test_what_a_run_may_take() -> None:
    """At most 3 reads and 8 writes where it starts a session, 4 and 5 in one that exists."""
    reads, writes = ("get", "query"), ("commit",)

    assert requests(FIRST, reads) <= 3
    assert requests(FIRST, writes) <= 8
    assert requests(NEXT, reads) <= 4
    assert requests(NEXT, writes) <= 5


@pytest.mark.parametrize(
    ("kind", "found"), [("a run that starts a session", FIRST), ("a run in a session that exists", NEXT)]
)
def test_the_document_says_what_a_run_takes(kind: str, found: Counter[str]) -> None:
    """Its table has the same numbers."""
    row = f"| {kind} | {requests(found, ('get', 'query'))} reads, {requests(found, ('commit',))} writes | 1 send,"

    assert row in (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@virtually
async def test_a_run_that_starts_a_session() -> None:
    app, tables = await started()

    assert await counted(app, tables) == FIRST


@virtually
async def test_a_run_in_a_session_that_exists() -> None:
    app, tables = await started()
    session = await in_session(app, tables)

    assert await counted(app, tables, session_id=session) == NEXT


@virtually
async def test_a_streamed_run_that_is_over_at_once() -> None:
    """Its text goes with the answer."""
    app, tables = await started()
    session = await in_session(app, tables)

    assert await counted(app, tables, session_id=session, stream=True) == NEXT


@virtually
async def test_a_run_that_is_not_scored() -> None:
    """A score takes no request of its own."""
    app, tables = await started(spec(evaluation={"share": 0}))
    session = await in_session(app, tables)

    assert await counted(app, tables, session_id=session) == NEXT


@virtually
async def test_every_further_model_call() -> None:
    app, tables = await started(TOOLED)
    session = await in_session(app, tables)

    assert await counted(app, tables, session_id=session) == NEXT + CALL


@pytest.mark.parametrize(("declared", "calls"), [(None, 1), (TOOLED, 2)])
@virtually
async def test_a_run_within_budgets(declared: AgentSpec | None, calls: int) -> None:
    """A call is noted once it is reserved; its reservation is given back with the next one's, or at the end."""
    app, tables = await started(declared)
    for scope in ("workspace", "agent:bot"):
        await app.services.budgets.store.put(
            "default", Budget(parse_scope(scope), (Limit("tokens", "day", 10**9),)), None
        )
    session = await in_session(app, tables)
    expected = NEXT + BUDGETS_CLOSED
    for _ in range(calls):
        expected += RESERVED + CALL

    assert await counted(app, tables, session_id=session) == expected


@virtually
async def test_what_publishing_a_runs_events_takes() -> None:
    app, tables = await started()
    session = await in_session(app, tables)
    await app.ask(session_id=session)
    tables.reset()
    await app.services.conversations.publisher.flush()

    assert tables.operations == PUBLISHED
    await app.aclose()


@virtually
async def test_a_message_that_comes_twice() -> None:
    """The run is found ended; its fact is offered once more, in case the first worker died before it wrote it."""
    app, tables = await started()
    await app.ask()
    await app.services.conversations.publisher.flush()
    tables.reset()
    await app.process(app.queue.sent[-1])

    assert tables.operations == Counter({"get conversations": 2, "commit facts": 1, "get facts": 1})
    await app.aclose()
