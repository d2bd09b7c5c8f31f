"""The sample runs of a month, as values: deterministic for the day."""

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from llmops.evaluation.combined_score import Score
from llmops.facts.attempt_fact import AttemptFact, Attribution, Call, Ending, Timing, ToolCall
from llmops.spend.pricing import price
from llmops.spend.usage import Usage

DAYS = 30
CHANGED = 12
"""Days ago that agents with two models changed to the second."""
_NAMESPACE = uuid.UUID("6f0b3c4e-5d0a-4f77-9a55-3d2f6a1f4b7e")
USERS = ("sample-ada", "sample-grace", "sample-linus", "sample-margaret")
_RUNS_A_SESSION = 3


@dataclass(frozen=True)
class Habit:
    """The use of an agent.

    Attributes:
        agent: Its name.
        models: Its model before and after its change; the same where it was not changed.
        runs: Runs on a working day.
        tokens: Mean tokens of the input, and of an answer.
        seconds: Mean time to an answer, in seconds.
        quality: Mean score before and after the change.
        fails: Share of attempts that fail, 0-1.
    """

    agent: str
    models: tuple[str, str]
    runs: int
    tokens: tuple[int, int]
    seconds: float
    quality: tuple[int, int]
    fails: float = 0.02


HABITS = (
    Habit("customer_service", ("gpt-5-mini", "gpt-5-nano"), 14, (2400, 260), 2.4, (82, 71)),
    Habit("market_analyst", ("gpt-5", "gpt-5-mini"), 5, (9000, 2400), 14.0, (84, 86), 0.05),
    Habit("tech_advisor", ("gpt-5-nano", "gpt-5-mini"), 8, (4200, 900), 6.2, (74, 86)),
    Habit("technical_support", ("gpt-5-mini", "gpt-5-mini"), 7, (3800, 700), 5.1, (79, 79), 0.04),
)
"""One agent got worse with its change, though cheaper; another got better."""


def facts(today: date, now: datetime) -> Iterator[AttemptFact]:
    """Yield the facts of a month's runs up to now."""
    for offset in range(DAYS):
        day = today - timedelta(days=DAYS - 1 - offset)
        changed = offset >= DAYS - CHANGED
        for habit in HABITS:
            chance = random.Random(f"{day} {habit.agent}")  # noqa: S311 - nothing is kept secret by it
            busy = 0.25 if day.weekday() >= 5 else 1.0
            for number in range(max(1, round(habit.runs * busy * chance.uniform(0.7, 1.3)))):
                for fact in _attempts(habit, day, number, chance, changed=changed):
                    if fact.timing.ended_at <= now:
                        yield fact


def _attempts(habit: Habit, day: date, number: int, chance: random.Random, *, changed: bool) -> Iterator[AttemptFact]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    session = number // _RUNS_A_SESSION
    # A session's runs follow each other within minutes; sessions begin at all hours, most in the afternoon.
    begins = random.Random(f"{day} {habit.agent} {session}").triangular(0, 82_000, 46_000)  # noqa: S311
    accepted = midnight + timedelta(seconds=begins + number % _RUNS_A_SESSION * 240 + chance.uniform(0, 60))
    run_id = str(uuid.uuid5(_NAMESPACE, f"{day} {habit.agent} {number}"))
    version = "2" if changed and habit.models[0] != habit.models[1] else "1"
    name = f"sample-{day}-{habit.agent}-{session + 1}"
    who = Attribution("default", habit.agent, name, run_id, USERS[(day.day + session) % len(USERS)], version)
    started = accepted + timedelta(milliseconds=chance.expovariate(1 / 400))
    again = chance.random() < habit.fails
    given_up = again and chance.random() < 0.4
    begun = started
    for attempt in (1, 2) if again else (1,):
        failed = attempt == 1 and again
        call = _call(habit, habit.models[changed], begun, chance)
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
            score=None if failed else _score(habit.quality[changed], chance),
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
