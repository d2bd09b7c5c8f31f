"""Tools of MCP servers that Foundry calls itself: it asks, a person decides, and it goes on in its conversation."""

from __future__ import annotations

from typing import Any

import pytest

from kernel.errors import InvalidInput
from lifecycle.approvals.decisions import DecisionRequest
from lifecycle.approvals.policy import Policy
from lifecycle.conversations.run import Run, RunState
from lifecycle.specs.spec import AgentSpec
from llmops.spend.usage import Spend
from tests.fakes.foundry_server import FakeFoundry
from tests.lifecycle.app import App
from tests.lifecycle.approvals.kit import ANN, REJECT, decide, drained, records, waiting
from tests.lifecycle.doubles import spec
from triggers.http.approvals.views import ApprovalView

ANSWERED = {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}
ASKS = '/mcp docs search {"q": "leave", "pages": 2}'


def guarded(approval: Any = "always", *more: str, **fields: Any) -> AgentSpec:
    server = {"type": "mcp", "server_label": "docs", "url": "https://192.0.2.1/mcp"}
    return spec(provider="foundry", tools=(server | ({"approval": approval} if approval else {}), *more), **fields)


async def steps_of(app: App, run: Run) -> list[Any]:
    return [step for step in await app.services.runs.steps.of("default", run.id) if step.kind == "tool_call"]


@pytest.fixture
async def foundry() -> Any:
    async with FakeFoundry() as fake:
        yield fake


@pytest.fixture
async def app(foundry: FakeFoundry) -> Any:
    app = App(FOUNDRY_PROJECT_ENDPOINT=foundry.endpoint)
    yield app
    await app.aclose()
    await app.services.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_an_approved_call_is_made_by_the_provider(app: App, foundry: FakeFoundry, stream: bool) -> None:
    """The provider is sent the answer to its request, and nothing else; the record says that the call was made."""
    await app.declare(declared=guarded())
    run = await waiting(app, ASKS, stream=stream)
    [asked] = await records(app, run)
    done = await decide(app, run)
    [record] = await records(app, run)
    first, second = foundry.bodies("create_response")
    [step] = await steps_of(app, done)

    assert (asked.approval.subject.kind, asked.approval.subject.tool) == ("hosted", "docs_search")
    assert asked.arguments == '{"pages":2,"q":"leave"}'
    assert done.state is RunState.SUCCEEDED
    assert (done.spend.calls, done.wasted) == (2, Spend())
    assert second["conversation"] == first["conversation"]
    assert second["input"] == [ANSWERED]
    assert record.approval.execution
    assert record.approval.execution.times == 1
    assert record.approval.execution.finished_at
    assert record.result == 'search of docs was given {"q": "leave", "pages": 2}'
    assert (step.name, step.outcome, step.result_bytes) == ("docs_search", "ok", len(record.result))
    assert step.arguments == {"q": "[hidden]", "pages": "[hidden]"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rejected_call_is_not_made_and_the_model_is_told_why(
    app: App, foundry: FakeFoundry, stream: bool
) -> None:
    """By the reason that the protocol has a place for."""
    await app.declare(declared=guarded())
    run = await waiting(app, ASKS, stream=stream)
    done = await decide(app, run, REJECT)
    [answer] = foundry.bodies("create_response")[-1]["input"]
    [step] = await steps_of(app, done)

    assert done.state is RunState.SUCCEEDED
    assert (answer["approve"], answer["reason"]) == (False, "it was rejected: too much")
    assert "too much" in (done.answer or "")
    assert (step.name, step.outcome) == ("docs_search", "rejected")


async def test_its_arguments_cannot_be_amended(app: App) -> None:
    """The provider takes yes or no; the error says what to do instead, and that is what the model then hears."""
    await app.declare(declared=guarded())
    run = await waiting(app, ASKS)
    amend = DecisionRequest("amend", arguments={"q": "x"})

    with pytest.raises(InvalidInput, match="say in the reason what to call it with instead") as refused:
        await app.services.approvals.decisions.decide("default", run.dispatch.awaits[0], ANN, amend, app.queue.send)
    [record] = await records(app, run)
    done = await decide(app, run, DecisionRequest("reject", "ask for one page, with q=x"))

    assert refused.value.code == "not_amendable"
    assert record.approval.open
    assert ApprovalView.of_record(record, ANN).decisions == ("approve", "reject")
    assert "ask for one page, with q=x" in (done.answer or "")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_rule_over_the_arguments_lets_pass_what_it_does_not_cover(
    app: App, foundry: FakeFoundry, stream: bool
) -> None:
    """The provider asks about each call; nobody is asked about those, and the run does not wait."""
    await app.declare(declared=guarded({"when": "pages > 10"}))
    await app.submit(ASKS, stream=stream)
    done = await app.process(app.queue.sent[-1])
    large = await waiting(app, '/mcp docs search {"q": "leave", "pages": 11}')

    assert done.state is RunState.SUCCEEDED
    assert done.spend.calls == 2
    assert foundry.bodies("create_response")[1]["input"][0]["approve"] is True
    assert large.state is RunState.WAITING


@pytest.mark.parametrize("stream", [False, True])
async def test_a_turn_s_other_calls_wait_with_it(app: App, foundry: FakeFoundry, stream: bool) -> None:
    """A function tool of the same turn is called once all is decided; both results go in one request."""
    await app.declare(declared=guarded("always", "calculator"))
    run = await waiting(app, '/both docs search {"q": "x"}', stream=stream)
    before = await steps_of(app, run)
    done = await decide(app, run)
    bodies = foundry.bodies("create_response")

    assert before == []
    assert done.state is RunState.SUCCEEDED
    assert [item["type"] for item in bodies[1]["input"]] == ["function_call_output", "mcp_approval_response"]
    assert [(step.name, step.outcome) for step in await steps_of(app, done)] == [
        ("calculator", "ok"),
        ("docs_search", "ok"),
    ]
    assert len(bodies) == 2


@pytest.mark.parametrize("query", [ASKS, '/both docs search {"q": "x"}'])
async def test_a_budget_between_decision_and_answer_loses_neither(app: App, foundry: FakeFoundry, query: str) -> None:
    """The run waits again, this time for the budget; the answer is sent, once, when there is room."""
    from tests.lifecycle.test_budgets import limit  # noqa: PLC0415 - only here

    await app.declare(declared=guarded("always", "calculator"))
    await limit(app, "agent:bot", "calls", 1)
    run = await waiting(app, query)
    blocked = await decide(app, run)
    await limit(app, "agent:bot", "calls", 5)
    await app.services.runs.resume.resume_all(app.queue.send)
    done = await drained(app, run)
    [record] = await records(app, run)
    bodies = foundry.bodies("create_response")

    assert blocked.state is RunState.WAITING
    assert blocked.dispatch.awaits == ()
    assert done.state is RunState.SUCCEEDED
    assert len(bodies) == 2
    assert bodies[-1]["input"][-1] == {
        "type": "mcp_approval_response",
        "approval_request_id": "mcpr_1",
        "approve": True,
    }
    assert record.approval.execution
    assert record.approval.execution.times == 1


async def test_a_policy_is_not_passed_over_where_the_provider_does_not_ask(app: App, foundry: FakeFoundry) -> None:
    """Its version was made so: the run fails, says what to declare, and no call is made."""
    await app.declare(declared=guarded(None))
    free = await app.ask("Hi")
    policy = Policy.model_validate({"rules": [{"tools": ["docs_*"], "agents": ["b*"]}]})
    await app.services.approvals.policies.put("default", policy, None)
    made = len(foundry.bodies("create_response"))
    failed = await app.ask(ASKS)
    after = len(foundry.bodies("create_response"))
    await app.declare(declared=guarded({"when": "false"}))
    asked = await waiting(app, ASKS)

    assert free.state is RunState.SUCCEEDED
    assert failed.error is not None
    assert (failed.error.code, after) == ("approval_not_asked", made)
    assert (await records(app, asked))[0].approval.subject.why == "the workspace's policy"


@pytest.mark.parametrize("pattern", ["*", "docs_*", "d*", "docs_search", "?ocs_search"])
def test_a_rule_of_the_spec_that_nobody_would_ask_about_is_refused(pattern: str) -> None:
    """When it is declared; rules about other tools are fine."""
    with pytest.raises(ValueError, match="without asking"):
        guarded(None, approvals=[{"tools": [pattern]}])
    assert guarded(None, approvals=[{"tools": ["calculator", "other_*"]}])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_call_whose_result_got_lost_is_not_made_again_unasked(
    app: App, foundry: FakeFoundry, *, after: bool
) -> None:
    """The run begins another conversation, as nobody knows what the first one holds, and asks a person again."""
    await app.declare(declared=guarded())
    run = await waiting(app, ASKS)
    foundry.fail_next("reset", on="create_response", after=after)
    broken = await decide(app, run)
    app.clock.move(seconds=120)
    again = await app.process(app.queue.sent[-1])
    items = [item["type"] for conversation in foundry.project.conversations.values() for item in conversation]
    first, second = await records(app, run)

    assert (broken.state, again.state) == (RunState.QUEUED, RunState.WAITING)
    assert items.count("mcp_call") == (1 if after else 0)
    assert {first.approval.open, second.approval.open} == {False, True}
    assert (await decide(app, again)).state is RunState.SUCCEEDED
