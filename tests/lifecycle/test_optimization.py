"""Savings in the whole app in memory: found by facts, applied as an owner would, undone, and measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from kernel.errors import Conflict, InvalidInput, NotFound
from kernel.ids import new_id
from llmops.capacity.pools import Limits, Pool
from llmops.facts.attempt_fact import AttemptFact
from llmops.optimization.proposals import Applied, Change, Optimization, OptimizationRequest, Proposal, Saving
from llmops.optimization.store import OptimizationStore
from llmops.optimization.what_if import OtherLimits, other_limit, other_prices
from llmops.spend.pricing import Rate
from llmops.spend.usage import Usage
from tests.lifecycle.app import App
from tests.lifecycle.doubles import Crash, Fate, spec
from tests.llmops.conftest import call, fact

DEAR, CHEAP = Rate("dear", Decimal(10), Decimal(20)), Rate("cheap", Decimal(1), Decimal(2))
REQUEST = OptimizationRequest()
ONE = Limits(concurrent_runs=1)


async def answered(app: App, model: str, count: int, score: int = 80, agent: str = "bot") -> None:
    """Record so many answers of a model, over the last five days."""
    rates = await app.services.budgets.rates.of("default")
    for number in range(count):
        at = app.clock() - timedelta(days=number % 5)
        usage = Usage(input_tokens=100, output_tokens=50)
        cost = rates.price(model, usage, at).cost_micro_usd
        one = replace(call(1), model=model, usage=usage, cost_micro_usd=cost, at=at)
        made: AttemptFact = fact(f"{model}-{number}-{at.isoformat()}", agent=agent, at=at, quality=score)
        await app.services.spend.facts.record(replace(made, calls=(one,)))


async def with_history() -> App:
    """Return an app whose agent has answered with two models, as well with either."""
    app = App()
    for rate in (DEAR, CHEAP):
        await app.services.budgets.rates.put("default", rate, None)
    await app.declare(declared=spec(model="dear", evaluation={"max_words": 50}))
    await answered(app, "dear", 40)
    await answered(app, "cheap", 40, 82)
    return app


async def applied(app: App, found: Optimization, *names: str, by: str = "ann") -> Optimization:
    return await app.services.optimization.proposals.apply("default", found.id, names, app.signals, by)


async def test_a_proposal_is_found_applied_and_undone_by_the_calls_it_names() -> None:
    """The declaration has the other model and all else as before; rolling back brings the first one back."""
    app = await with_history()
    proposals = app.services.optimization.proposals
    found = await proposals.find("default", REQUEST)
    one = next(each for each in found.proposals if each.kind == "cheaper_model")
    before = await app.services.agents.catalog.get("default", "bot")

    after = await applied(app, found, one.id)
    agent = await app.services.agents.catalog.get("default", "bot")
    again = await applied(app, after, one.id)

    assert (found.whole, found.facts, found.spent_micro_usd) == (True, 80, 40 * 2000 + 40 * 200)
    assert (agent.declaration.spec.model, before.declaration.spec.model) == ("cheap", "dear")
    assert replace_model(agent.declaration.spec, "dear") == before.declaration.spec
    made = next(each for each in after.proposals if each.id == one.id).applied
    assert made is not None
    assert (made.revision, made.by, again) == (2, "ann", after)
    earlier = await app.services.agents.versions.declared_as("default", "bot", 1)
    undone = await app.services.agents.administration.roll_back("default", "bot", earlier, app.signals)
    assert undone.declaration.spec == before.declaration.spec


def replace_model(declared: Any, model: str) -> Any:
    return declared.model_copy(update={"model": model})


async def test_what_it_has_really_saved_is_said_a_week_later_and_not_before() -> None:
    """Cost a run in the week after beside the week before, times the runs after; with the scores of both."""
    app = await with_history()
    proposals = app.services.optimization.proposals
    found = await proposals.find("default", REQUEST)
    name = "cheaper_model:bot"
    await applied(app, found, name)
    app.clock.move(days=6)
    await answered(app, "cheap", 20, 70)
    early = (await proposals.get("default", found.id))[1]
    app.clock.move(days=1)

    measured = (await proposals.get("default", found.id))[1][name]

    assert early == {}
    assert (measured.runs_before, measured.runs_after) == (80, 20)
    assert (measured.cost_per_run_before, measured.cost_per_run_after) == (1100, 200)
    assert measured.saved_micro_usd == 900 * 20
    assert (measured.quality_before, measured.quality_after) == (81, 70)


async def test_what_judging_costs_a_run_is_of_the_days_that_are_measured() -> None:
    """Sums of judges are by day: their costs and the runs beside them are of the same whole days."""
    app = App()
    await app.declare()
    proposals, facts = app.services.optimization.proposals, app.services.spend.facts
    changed, before = app.clock(), await proposals.find("default", REQUEST)
    change = Change("declare", "bot", 1, {"evaluation": {"judge": {"share": 0.5}}})
    saving = Saving(0, 0, 0)
    one = Proposal("judges:bot", "judges", "bot", "", {}, "", saving, "low", "", change, applied=Applied(changed, 2))
    found = replace(before, id=new_id(), proposals=(one,))
    await OptimizationStore(app.tables).add("default", found)
    for day in range(-7, 8):
        at = changed + timedelta(days=day)
        cost = 100 if day < 0 else 50
        for number in range(2):
            run = fact(f"run-{day}-{number}", at=at, cost_micro_usd=1000)
            await facts.record(run)
            await facts.record(replace(fact(f"run-{day}-{number}", at=at, cost_micro_usd=cost), judge="judge"))
    app.clock.move(days=8)

    measured = (await proposals.get("default", found.id))[1]["judges:bot"]

    assert (measured.cost_per_run_before, measured.cost_per_run_after) == (100, 50)
    assert measured.saved_micro_usd == 50 * measured.runs_after


async def test_nothing_is_applied_where_one_of_them_cannot_be() -> None:
    """Unknown or for people to do: the whole request is refused before anything is changed."""
    app = await with_history()
    found = await app.services.optimization.proposals.find("default", REQUEST)

    with pytest.raises(InvalidInput) as unknown:
        await applied(app, found, "cheaper_model:bot", "cheaper_model:nobody")
    agent = await app.services.agents.catalog.get("default", "bot")

    assert (unknown.value.code, agent.declaration.revision) == ("unknown_proposal", 1)


async def test_an_agent_that_was_declared_anew_is_left_as_it_is() -> None:
    """The evidence is of another declaration."""
    app = await with_history()
    found = await app.services.optimization.proposals.find("default", REQUEST)
    await app.declare(declared=spec(model="third"))

    with pytest.raises(Conflict) as caught:
        await applied(app, found, "cheaper_model:bot")

    assert caught.value.code == "agent_changed"
    assert (await app.services.agents.catalog.get("default", "bot")).declaration.spec.model == "third"


@pytest.mark.parametrize("after", [False, True])
async def test_applying_survives_a_crash_at_every_write(after: bool) -> None:
    """Done again, it comes to one change, and is known as applied."""
    for number in range(1, 12):
        app = await with_history()
        found = await app.services.optimization.proposals.find("default", REQUEST)
        dying = app.worker(Fate(number, after))
        try:
            await dying.optimization.proposals.apply("default", found.id, ["cheaper_model:bot"], app.signals)
        except Crash:
            died = True
        else:
            died = False

        done = await applied(app, found, "cheaper_model:bot")
        agent = await app.services.agents.catalog.get("default", "bot")

        assert (agent.declaration.spec.model, agent.declaration.revision) == ("cheap", 2)
        one = done.proposal("cheaper_model:bot")
        assert one is not None
        assert one.applied is not None
        assert one.applied.revision == 2
        if not died:
            return
    pytest.fail("it never came through")


async def test_agents_that_nobody_uses_are_retired_by_the_ordinary_use_case() -> None:
    """They come back on their next use."""
    app = await with_history()
    await app.declare("old")
    await app.ask(agent="old")
    await app.services.agents.use_recorder.aclose(app.signals)
    app.clock.move(days=30)
    found = await app.services.optimization.proposals.find("default", REQUEST)

    assert "unused_agent:old" in [one.id for one in found.proposals]
    done = await applied(app, found, "unused_agent:old")
    agent = await app.services.agents.catalog.get("default", "old")

    assert agent.state.value == "idle"
    assert done.proposal("unused_agent:old") != found.proposal("unused_agent:old")


async def test_a_workspace_sees_only_its_own() -> None:
    """Neither facts nor what was found of them."""
    app = await with_history()
    proposals = app.services.optimization.proposals
    found = await proposals.find("default", REQUEST)

    assert (await proposals.find("other", REQUEST)).facts == 0
    with pytest.raises(NotFound):
        await proposals.get("other", found.id)
    with pytest.raises(NotFound):
        await proposals.find("other", replace(REQUEST, agent="bot"))


async def test_a_pool_is_looked_at_by_its_agents() -> None:
    """By name or by label; what others have spent is no part of it."""
    app = await with_history()
    await app.declare("other", spec(model="dear", labels={"team": "x"}))
    await answered(app, "dear", 5, agent="other")
    await app.services.capacity.pools.put("default", Pool("p", labels={"team": "x"}, limits=ONE), None)
    proposals = app.services.optimization.proposals

    found = await proposals.find("default", replace(REQUEST, pool="p"))

    assert (found.facts, found.spent_micro_usd) == (5, 5 * 2000)
    with pytest.raises(NotFound):
        await proposals.find("default", replace(REQUEST, pool="nobodys"))


async def test_what_was_found_is_listed_newest_first() -> None:
    app = await with_history()
    proposals = app.services.optimization.proposals
    made = [(await proposals.find("default", REQUEST)).id for _ in range(3)]

    first, after = await proposals.list("default", 2, None)
    rest, end = await proposals.list("default", 2, after)

    assert sorted(one.id for one in [*first, *rest]) == sorted(made)
    assert (len(first), len(rest), end) == (2, 1, None)


async def test_history_is_replayed_without_calling_a_model() -> None:
    """Real facts of real runs, under other prices and another limit, and uses under another size of caches."""
    app = await with_history()
    for _ in range(3):
        await app.ask()
    await app.services.agents.use_recorder.aclose(app.signals)
    what_if = app.services.optimization.what_if

    prices = await what_if.of_facts("default", "bot", 7, lambda facts, rates: other_prices(facts, rates, "cheap"))
    pool = await what_if.of_facts("default", None, 7, lambda facts, _: other_limit(facts, OtherLimits(1)))
    cache = await what_if.of_cache("default", 7, 10, 2)

    assert (prices.records, prices.whole) == (83, True)
    assert prices.outcome.figures["calls"] == 83
    assert 80 * 200 < (prices.outcome.figures["would_cost_micro_usd"] or 0) < 80 * 200 + 3 * 200
    assert pool.outcome.figures["attempts"] == 83
    assert cache.outcome.figures["capacity"] == 10
