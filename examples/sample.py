"""Fill a running local stack with a month of sample data, so that there is something to look at.

    python -m examples.sample

`make sample` starts a stack on a directory of its own for it, so that sample and real data never meet, and
`make unsample` removes it. What happened is written as runs write it: one fact for each attempt, which the app's own
timer adds up. All of it is marked: sessions and users are called `sample-…`. Doing it again adds only what is newer.
"""

import asyncio
import json
import os
import random
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from bootstrap.services import Services
from kernel.settings import Settings
from llmops.evaluation.scoring import Score
from llmops.facts.model import AttemptFact, Attribution, Call, Ending, Timing, ToolCall
from llmops.spend.pricing import price
from llmops.spend.usage import Usage

DAYS = 30
AT_ONCE = 16
"""Facts that are written at the same time."""
_NAMESPACE = uuid.UUID("6f0b3c4e-5d0a-4f77-9a55-3d2f6a1f4b7e")
_USERS = ("sample-ada", "sample-grace", "sample-linus", "sample-margaret")
_BUDGETS = {
    "workspace": [
        {"unit": "usd", "period": "month", "limit": 40},
        {"unit": "tokens", "period": "day", "limit": 2_000_000},
    ],
    "agent:market_analyst": [{"unit": "usd", "period": "day", "limit": 1.5}],
}
_ALERTS = {"answers-too-slow": {"metric": "latency_p95_ms", "condition": "gt", "threshold": 20_000}}
_QUESTIONS = {
    "customer_service": "My order 4711 has not arrived. What now?",
    "market_analyst": "How large is the market for cargo bikes in Europe?",
    "tech_advisor": "Compare Table Storage and Cosmos DB for a registry of agents.",
    "technical_support": "The deployment fails with 403 since yesterday. Why?",
}


@dataclass(frozen=True)
class Habit:
    """How an agent is used.

    Attributes:
        agent: Its name.
        models: Its model, and that of every second version.
        runs: Runs on a working day.
        tokens: Mean tokens of a question with what the model is told, and of an answer.
        seconds: Mean time to an answer.
        quality: Mean score, and that of every second version.
        fails: Share of attempts that fail.
    """

    agent: str
    models: tuple[str, str]
    runs: int
    tokens: tuple[int, int]
    seconds: float
    quality: tuple[int, int]
    fails: float = 0.02


_HABITS = (
    Habit("customer_service", ("gpt-5-nano", "gpt-5-mini"), 14, (2400, 260), 2.4, (71, 82)),
    Habit("market_analyst", ("gpt-5", "gpt-5"), 5, (9000, 2400), 14.0, (84, 86), 0.05),
    Habit("tech_advisor", ("gpt-5-mini", "gpt-5-mini"), 8, (4200, 900), 6.2, (86, 74)),
    Habit("technical_support", ("gpt-5-mini", "gpt-5-mini"), 7, (3800, 700), 5.1, (78, 80), 0.04),
)
_FIRST_DAY = date(2026, 1, 12)
_VERSION_DAYS = 30
"""Days that a version lasts: any month shows two of them. One agent is better with the newer, another worse."""


def facts(today: date, now: datetime) -> Iterator[AttemptFact]:
    """Yield what a month's runs did up to now: the same for the same day, whenever it is asked."""
    for offset in range(DAYS):
        day = today - timedelta(days=DAYS - 1 - offset)
        version, age = divmod((day - _FIRST_DAY).days, _VERSION_DAYS)
        for habit in _HABITS:
            chance = random.Random(f"{day} {habit.agent}")  # noqa: S311 - nothing is kept secret by it
            busy = 0.25 if day.weekday() >= 5 else 1.0
            growth = 0.8 + 0.4 * age / _VERSION_DAYS
            for number in range(max(1, round(habit.runs * busy * growth * chance.uniform(0.7, 1.3)))):
                for fact in _attempts(habit, day, number, version, chance):
                    if fact.timing.ended_at <= now:
                        yield fact


def _attempts(habit: Habit, day: date, number: int, version: int, chance: random.Random) -> Iterator[AttemptFact]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    accepted = midnight + timedelta(seconds=chance.triangular(0, 86_000, 46_000))
    run_id = str(uuid.uuid5(_NAMESPACE, f"{day} {habit.agent} {number}"))
    who = Attribution(
        "default", habit.agent, f"sample-{day}-{number // 3}", run_id, chance.choice(_USERS), str(version + 1)
    )
    started = accepted + timedelta(milliseconds=chance.expovariate(1 / 400))
    again = chance.random() < habit.fails
    given_up = again and chance.random() < 0.4
    begun = started
    for attempt in (1, 2) if again else (1,):
        failed = attempt == 1 and again
        call = _call(habit, habit.models[version % 2], begun, chance)
        ended = begun + timedelta(milliseconds=call.latency_ms + chance.randint(40, 220))
        ending = (Ending.FAILED if given_up else Ending.RETRIED) if failed else Ending.SUCCEEDED
        yield AttemptFact(
            who,
            attempt,
            Timing(accepted, started, begun, ended),
            ending,
            (call,),
            (ToolCall("current_time", "ok", 3),) if chance.random() < 0.3 else (),
            code="timeout" if failed else "",
            score=None if failed else _score(habit.quality[version % 2], chance),
        )
        if given_up:
            return
        begun = ended + timedelta(seconds=2)


def _call(habit: Habit, model: str, at: datetime, chance: random.Random) -> Call:
    asked = round(habit.tokens[0] * chance.uniform(0.6, 1.6))
    written = round(habit.tokens[1] * chance.uniform(0.5, 1.8))
    usage = Usage(asked, cached_tokens=round(asked * chance.choice((0, 0, 0.4, 0.7))), output_tokens=written,
                  reasoning_tokens=round(written * chance.uniform(0, 0.5)))  # fmt: skip
    latency_ms = round(habit.seconds * 1000 * chance.lognormvariate(0, 0.4))
    priced = price(model, usage, at)
    return Call(1, at, "openai", model, usage, priced.cost_micro_usd, priced.rate, latency_ms)


def _score(mean: int, chance: random.Random) -> Score:
    parts = {name: max(0, min(100, round(chance.gauss(mean, 9)))) for name in ("answered", "topics", "grounded")}
    return Score(round(sum(parts.values()) / len(parts)), parts)


async def record(services: Services, now: datetime) -> int:
    """Write the facts and return how many there are."""
    room = asyncio.Semaphore(AT_ONCE)

    async def write(fact: AttemptFact) -> None:
        async with room:
            await services.spend.facts.record(fact)

    found = list(facts(now.date(), now))
    await asyncio.gather(*map(write, found))
    return len(found)


def _send(url: str, method: str, body: object = None, **headers: str) -> None:
    content = json.dumps(body if body is not None else {}).encode()
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = urllib.request.Request(url, content, named, method=method)  # noqa: S310 - the user's own address
    with urllib.request.urlopen(request):  # noqa: S310 - see above
        pass


async def main() -> None:
    """Write a month of facts, have them added up, and ask each example agent once."""
    url = os.environ.get("DEVHOST_URL", "http://127.0.0.1:7071")
    settings = json.loads(open("local.settings.example.json", encoding="utf-8").read())["Values"]  # noqa: ASYNC230, PTH123, SIM115
    services = Services.for_azure(Settings.from_environment({**settings, **os.environ}))
    print("\nSample data:\n")
    written = await record(services, datetime.now(UTC))
    print(f"  {written} attempts of {DAYS} days, by users and sessions called sample-…")
    await services.aclose()
    for scope, limits in _BUDGETS.items():
        _send(f"{url}/api/budgets/{scope}", "PUT", {"limits": limits})
    for name, rule in _ALERTS.items():
        _send(f"{url}/api/alerts/{name}", "PUT", rule)
    for agent, query in _QUESTIONS.items():
        body = {"query": query, "session_id": f"sample-{agent}", "user_id": _USERS[0], "metadata": {"sample": "true"}}
        _send(f"{url}/api/agents/{agent}/runs", "POST", body, Idempotency_Key=f"sample-{agent}")
    _send(f"{url}/api/timers/aggregate_costs/run", "POST")
    print(f"\nThe web app shows it:\n\n  {url}/api/app\n\nmake unsample removes all of it.")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except OSError as error:
        sys.exit(f"The stack cannot be reached: {error}")
