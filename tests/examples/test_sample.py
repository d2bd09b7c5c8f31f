"""The sample data: marked, in the past, the same whenever it is made, and counted as real runs are."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from adapters.memory_tables import MemoryTables
from devhost.services import Azurite
from examples.sample.__main__ import add_up, count, record
from examples.sample.conversations import converse
from examples.sample.facts import DAYS, facts
from lifecycle.sessions.list import Filter
from llmops.budgets.budget_rules import Budget, Limit, Scope
from llmops.facts.fact_store import home_of, key_of
from llmops.spend.costs import costs_of, group_by
from tests.lifecycle.doubles import ManualClock, make_services
from tests.waiting import QUIET_S

NOW = datetime(2026, 11, 20, 15, 30, tzinfo=UTC)
MONTH = list(facts(NOW.date(), NOW))
LATEST = [fact for fact in MONTH if fact.timing.ended_at > NOW - timedelta(days=3)]


def test_it_is_marked_and_in_the_past() -> None:
    """Every session and user says that it is a sample, and nothing has yet to happen."""
    days = {fact.timing.ended_at.date() for fact in MONTH}

    assert all(fact.who.session_id.startswith("sample-") for fact in MONTH)
    assert all(fact.who.user_id.startswith("sample-") for fact in MONTH)
    assert max(fact.timing.ended_at for fact in MONTH) <= NOW
    assert len(days) == DAYS


def test_the_next_day_adds_to_it_and_changes_nothing() -> None:
    """A fact that was there on both days is under the same key, so that it is not written again."""
    first = {(home_of(fact), key_of(fact)): fact for fact in MONTH}
    later = NOW + timedelta(days=1)
    second = {(home_of(fact), key_of(fact)): fact for fact in facts(later.date(), later)}
    both = [key for key in first if key in second]

    assert len(both) > len(first) * 0.9
    assert all((first[key].timing, first[key].ending) == (second[key].timing, second[key].ending) for key in both)
    assert {fact.who.run_id for key, fact in second.items() if key not in first}.isdisjoint(
        fact.who.run_id for key, fact in first.items() if key in second and fact.final
    )


def test_without_storage_it_says_so_and_leaves_nothing_open() -> None:
    """In one line; what was being written is cancelled and closed."""

    class Answers(BaseHTTPRequestHandler):
        """An app all of whose agents are there already."""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            content = b'{"version": "1"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_PUT = do_GET  # noqa: N815 - the name is the library's

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - likewise

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as app:
        threading.Thread(target=app.serve_forever).start()
        storage = Azurite(cast("Any", None), 9, 9, 9).connection_string  # where nobody listens
        settings = {"DEVHOST_URL": f"http://127.0.0.1:{app.server_port}", "AzureWebJobsStorage": storage}
        command = [sys.executable, "-m", "examples.sample"]
        result = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=QUIET_S, check=False
        )
        app.shutdown()

    assert result.returncode == 1
    assert result.stderr.startswith("The table service is unavailable")
    assert len(result.stderr.splitlines()) == 1


async def test_costs_count_it_once() -> None:
    """Written twice, it is in the sums once, before and after the timer adds it up."""
    services = make_services(MemoryTables(), ManualClock(NOW))
    await record(services, LATEST)
    await record(services, LATEST)
    first = date(2026, 11, 1)
    before = await services.spend.daily_costs.sums("default", first, NOW.date(), NOW.date())
    await services.spend.aggregation.run(NOW)
    after = await services.spend.daily_costs.sums("default", first, NOW.date(), NOW.date())
    wanted = sum(fact.cost_micro_usd for fact in LATEST)

    assert costs_of(before, first, NOW.date(), group_by("day")).total.cost_micro_usd == wanted
    assert costs_of(after, first, NOW.date(), group_by("day")).total.cost_micro_usd == wanted


async def test_days_that_were_closed_meanwhile_are_whole() -> None:
    """A timer that runs while the facts are written leaves none out."""
    services = make_services(MemoryTables(), ManualClock(NOW))
    old = [fact for fact in MONTH if fact.timing.ended_at < NOW - timedelta(days=25)]
    await record(services, old[::2])
    await services.spend.daily_costs.aggregate(NOW)
    await record(services, old)
    await add_up(services, NOW)
    first = NOW.date() - timedelta(days=DAYS)
    sums = await services.spend.daily_costs.sums("default", first, NOW.date(), NOW.date())

    spent = costs_of(sums, first, NOW.date(), group_by("day")).total
    assert spent.cost_micro_usd == sum(fact.cost_micro_usd for fact in old)


async def test_budgets_say_what_costs_say() -> None:
    """Counted twice, a budget of the month has spent what the month's facts come to, and nothing is reserved."""
    services = make_services(MemoryTables(), ManualClock(NOW))
    month, day = Limit("usd", "month", 60_000_000), Limit("usd", "day", 60_000_000)
    await services.budgets.store.put("default", Budget(Scope("workspace"), (month,)), None)
    await services.budgets.store.put("default", Budget(Scope("agent", "market_analyst"), (day,)), None)
    for _ in range(2):
        await count(services, MONTH, NOW)
    used = {each.scope: each for each in (await services.budgets.usage.list("default", 10))[0]}

    of_month = [fact for fact in MONTH if fact.timing.ended_at >= datetime(2026, 11, 1, tzinfo=UTC)]
    of_day = [f for f in MONTH if f.timing.ended_at.date() == NOW.date() and f.who.agent == "market_analyst"]
    assert used["workspace"].spent == sum(fact.cost_micro_usd for fact in of_month)
    assert used["agent:market_analyst"].spent == sum(fact.cost_micro_usd for fact in of_day)
    assert {each.reserved for each in used.values()} == {0}


async def test_each_fact_leads_to_its_run() -> None:
    """The conversations are there, once, with what the facts say of their runs; those of long ago have ended."""
    services = make_services(MemoryTables(), ManualClock(NOW))
    sessions = await converse(services, LATEST, NOW)
    assert await converse(services, LATEST, NOW) == sessions
    listed, _ = await services.sessions.list.page("default", Filter(), 200, None)

    assert len(listed) == sessions == len({fact.who.session_id for fact in LATEST})
    assert sum(session.runs for session in listed) == len({fact.who.run_id for fact in LATEST})
    assert sum(session.spend.cost_micro_usd for session in listed) == sum(fact.cost_micro_usd for fact in LATEST)
    assert {session.pending for session in listed} == {0}
    assert [session for session in listed if session.end is None] == [
        session for session in listed if session.last_activity > NOW - timedelta(hours=1)
    ]
    one = LATEST[0].who
    run = await services.conversations.store.run("default", one.session_id, one.run_id)
    assert run is not None
    assert (run.finished, run.result.version, run.user_id) == (True, one.version, one.user_id)
