"""Microsoft Foundry's evaluators through Agent Framework, over the wire."""

from __future__ import annotations

import pytest
from agent_framework import EvalItem, Message

from kernel.errors import Unavailable
from lifecycle.evaluation.framework_evaluation import acknowledge
from lifecycle.evaluation.judges import parts_of
from llmops.evaluation.combined_score import Part
from tests.contracts.providers.conftest import foundry_at
from tests.fakes.foundry_server import FakeFoundry


def item() -> EvalItem:
    acknowledge()
    return EvalItem([Message("user", ["Capital of France?"]), Message("assistant", ["Paris."])], context="An atlas.")


async def test_an_answer_is_graded_and_the_evaluation_is_gone_afterwards(foundry: FakeFoundry) -> None:
    foundry.evals.grades = {"relevance": 5, "coherence": 2, "task_adherence": 0}
    foundry.evals.polls = 0

    async with foundry_at(foundry) as provider:
        evaluator = await provider.evaluator("gpt-5-mini", ["relevance", "coherence", "task_adherence"])
        results = await evaluator.evaluate([item()], eval_name="helper run-1")

    assert parts_of(results, "foundry_") == [
        Part("foundry_relevance", 100, "Because."),
        Part("foundry_coherence", 25, "Because."),
        Part("foundry_task_adherence", 0, "Because."),
    ]
    assert foundry.evals.evals == {}
    [body] = foundry.bodies("create_eval")
    assert body["name"] == "helper run-1"
    assert {criterion["initialization_parameters"]["deployment_name"] for criterion in body["testing_criteria"]} == {
        "gpt-5-mini"
    }
    [run] = foundry.bodies("create_eval_run")
    [entry] = run["data_source"]["source"]["content"]
    assert (entry["item"]["query"], entry["item"]["response"]) == ("Capital of France?", "Paris.")
    assert entry["item"]["context"] == "An atlas."
    assert results.items[0].token_usage == {
        "prompt_tokens": 300,
        "completion_tokens": 40,
        "total_tokens": 340,
        "cached_tokens": 0,
    }


async def test_an_evaluation_that_does_not_succeed_says_nothing_of_the_answer(foundry: FakeFoundry) -> None:
    foundry.evals.outcome, foundry.evals.polls = "failed", 0

    async with foundry_at(foundry) as provider:
        results = await (await provider.evaluator("m", ["relevance"])).evaluate([item()], eval_name="e")

    with pytest.raises(Unavailable, match="ended as failed"):
        parts_of(results)


async def test_a_project_that_throttles_is_asked_again_later(foundry: FakeFoundry) -> None:
    foundry.fail_next("throttled", on="create_eval", times=2)

    async with foundry_at(foundry) as provider:
        with pytest.raises(Unavailable) as caught:
            await (await provider.evaluator("m", ["relevance"])).evaluate([item()], eval_name="e")

    assert caught.value.code == "provider_throttled"
