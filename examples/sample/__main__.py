"""Fill a running local stack with a month of sample data for the web app.

    python -m examples.sample

`make sample` starts a stack on its own directory for it, so that sample and real data never mix, and `make unsample`
removes it. The
data is written as runs write it: one fact for each attempt, which the app's own timer adds up, and the session of each.
All of it is
marked: sessions and users are named `sample-…`. Repeating it adds only newer data.
"""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from bootstrap.services import Services
from examples.register import AGENTS
from examples.sample.conversations import QUESTIONS, all_of, converse
from examples.sample.facts import DAYS, HABITS, USERS, facts
from kernel.errors import Unavailable
from kernel.ids import new_id
from kernel.settings import Settings
from llmops.budgets.budget_rules import Amounts, AppliedLimit, CostAttribution, applying
from llmops.budgets.reservations import Intent, ReservationRequest, Settlement
from llmops.facts.attempt_fact import AttemptFact

AT_ONCE = 8
"""Facts written concurrently."""
_BUDGETS = {
    "workspace": [
        {"unit": "usd", "period": "month", "limit": 6},
        {"unit": "tokens", "period": "day", "limit": 400_000},
    ],
    "agent:market_analyst": [{"unit": "usd", "period": "day", "limit": 0.5}],
}
_ALERTS = {"answers-too-slow": {"metric": "latency_p95_ms", "condition": "gt", "threshold": 10_000, "window_s": 86_400}}
_POOLS = {"sample-desk": {"agents": ["customer_service", "technical_support"], "limits": {"requests_per_minute": 60}}}
_MARK = {"sample": "true"}
_REFUNDS, _STORAGE = "sample-refunds", "sample-storage"
_COMPARISON = """
**Table Storage** is enough for a registry of agents; *Cosmos DB* pays off once you query by more than the key.

| | Table Storage | Cosmos DB |
|---|---|---|
| Read by key | about 10 ms | below 10 ms, guaranteed |
| Query by other fields | scans a partition | indexed |
| Transactions | 100 rows of a partition | 100 items of a partition |
| Idle cost | storage only | the throughput that is reserved |

Give each workspace a partition, and ask for what you need only:

```python
rows = table.query_entities("PartitionKey eq @workspace", parameters={"workspace": name})
```

Limits as documented [1]. This answer is sample data: no model was asked.

[1] <https://learn.microsoft.com/azure/storage/tables/scalability-targets>
"""
_AGENTS = {
    _REFUNDS: {
        "provider": "offline",
        "model": "gpt-5-mini",
        "description": "Pays refunds back; a person approves each (sample).",
        "tools": ["calculator"],
        "simulate": {"call_tool": "calculator"},
        "approvals": [{"tools": ["calculator"]}],
    },
    _STORAGE: {
        "provider": "offline",
        "model": "gpt-5-mini",
        "description": "Compares storage services (sample).",
        "simulate": {"reply": _COMPARISON.strip()},
    },
}
_ASKED = {_REFUNDS: "2 * 19.90", _STORAGE: QUESTIONS["tech_advisor"][0]}
_EXPECTED = {_STORAGE: ["transactions", "partition", "cost"]}


async def record(services: Services, found: Sequence[AttemptFact]) -> int:
    """Write the facts and return their number."""
    room = asyncio.Semaphore(AT_ONCE)

    async def write(fact: AttemptFact) -> None:
        async with room:
            await services.spend.facts.record(fact)

    await all_of(map(write, found))
    return len(found)


async def add_up(services: Services, now: datetime) -> None:
    """Add the facts to the sums, also those of days that a timer closed while they were written.

    Late facts of closed days are looked for once a day, when another day is closed: so this runs the timer as of
    tomorrow.
    """
    await services.spend.daily_costs.aggregate(now)
    await services.spend.daily_costs.aggregate(now + timedelta(days=1))


async def count(services: Services, found: Sequence[AttemptFact], now: datetime) -> None:
    """Set the budgets' counters to at least what the facts of their periods spent."""
    budgets = await services.budgets.store.of("default", refresh=True)
    for habit in HABITS:
        who = CostAttribution("default", habit.agent, "sample", new_id())
        for each in applying(budgets, who, now):
            spent = _spent(found, each, habit.agent, now)
            (counter,) = (await services.budgets.counters.counters("default", [each.counter])).values()
            missing = Amounts(
                *(max(0, want - has) for want, has in zip(spent.values, counter.spent.values, strict=True))
            )
            ask = ReservationRequest(Intent(who, 1, found[-1].calls[-1]), missing, [each], now)
            made = await services.budgets.counters.change("default", None, ask)
            if made.hold is not None:
                await services.budgets.counters.change("default", Settlement(made.hold, missing), None)


def _spent(found: Sequence[AttemptFact], applied: AppliedLimit, agent: str, now: datetime) -> Amounts:
    total = Amounts()
    for fact in found:
        at = fact.timing.ended_at
        if applied.scope != "workspace" and fact.who.agent != agent:
            continue
        if at.date() == now.date() or (
            applied.limit.period == "month" and (at.year, at.month) == (now.year, now.month)
        ):
            for call in fact.calls:
                spend = call.spend
                tokens = spend.input_tokens + spend.output_tokens
                total += Amounts(spend.calls, tokens, spend.cost_micro_usd, call.latency_ms)
    return total


class App:
    """The app's API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def send(self, path: str, method: str, body: object = None, **headers: str) -> Any:
        """Send a request and return the response's JSON; None where it has none."""
        content = json.dumps(body).encode() if body is not None else b""
        named = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        request = urllib.request.Request(f"{self.url}/{path}", content or None, named, method=method)  # noqa: S310
        with urllib.request.urlopen(request) as response:  # noqa: S310 - the user's own address
            answer = response.read()
        return json.loads(answer) if answer else None

    def change(self, agent: str, model: str) -> None:
        """Declare the agent with an earlier model first, so that it has two versions to compare."""
        if self.send(f"api/agents/{agent}", "GET")["version"] is not None:
            return
        spec = yaml.safe_load((AGENTS / f"{agent}.yaml").read_text(encoding="utf-8"))["spec"]
        for wanted in ({**spec, "model": model}, spec):
            self.send(f"api/agents/{agent}", "PUT", wanted)
            self.send(f"api/agents/{agent}/prewarm", "POST")
            self._wait(agent)

    def _wait(self, agent: str) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            found = self.send(f"api/agents/{agent}", "GET")
            if found["state"] == "active" and found["current"]:
                return
            time.sleep(0.1)

    def declare(self, what: str, items: Mapping[str, object]) -> None:
        """Put each item under its name."""
        for name, body in items.items():
            self.send(f"api/{what}/{name}", "PUT", body)


async def main() -> None:
    """Write a month of facts and sessions, add them up, and ask each example agent once."""
    now = datetime.now(UTC)
    app = App(os.environ.get("DEVHOST_URL", "http://127.0.0.1:7071"))
    example = json.loads((Path(__file__).parents[2] / "local.settings.example.json").read_text(encoding="utf-8"))
    services = Services.for_azure(Settings.from_environment({**example["Values"], **os.environ}))
    print("\nSample data:\n")
    for habit in HABITS:
        if habit.models[0] != habit.models[1]:
            app.change(habit.agent, habit.models[0])
    app.declare("budgets", {scope: {"limits": limits} for scope, limits in _BUDGETS.items()})
    app.declare("alerts", _ALERTS)
    app.declare("pools", _POOLS)
    found = list(facts(now.date(), now))
    async with aclosing(services):
        print(f"  {await record(services, found)} attempts of {DAYS} days, by users called sample-…")
        print(f"  {await converse(services, found, now)} sessions called sample-…")
        await add_up(services, now)
        await count(services, found, now)
    app.declare("agents", _AGENTS)
    for agent, query in {**{agent: queries[0] for agent, queries in QUESTIONS.items()}, **_ASKED}.items():
        body = {
            "query": query,
            "session_id": f"sample-{agent.removeprefix('sample-')}",
            "user_id": USERS[0],
            "metadata": _MARK,
            "expected_topics": _EXPECTED.get(agent, []),
        }
        app.send(f"api/agents/{agent}/runs", "POST", body, Idempotency_Key=f"sample-{agent}")
    for timer in ("aggregate_costs", "evaluate_alerts"):
        app.send(f"api/timers/{timer}/run", "POST")
    print(f"\nThe web app shows it:\n\n  {app.url}/api/app\n\nmake unsample removes all of it.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        sys.exit(f"The stack cannot be reached: {error}")
    except Unavailable as error:
        sys.exit(f"{error.detail} `python -m examples.sample` goes on where it stopped.")
