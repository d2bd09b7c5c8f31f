"""Names of models: those that providers give are taken wherever a model is named, and nothing else is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lifecycle.specs.spec import AgentSpec
from lifecycle.specs.spending import DegradationStep
from llmops.evaluation.policy import FoundryPolicy

NAMES = [
    "gpt-5-mini",
    "@cf/meta/llama-3.1-8b-instruct",
    "claude-3-5-sonnet@20240620",
    "/models/x.gguf",
    "~anthropic/claude-sonnet-latest",
    "deepseek/deepseek-chat:free",
    "hf.co/org/model-GGUF:Q4_K_M",
    "ft:gpt-4o-mini-2024-07-18:org::id",
    "a" * 128,
]
NO_NAMES = [
    "",
    " ",
    "gpt 5",
    " gpt-5",
    "gpt-5\n",
    "gpt\t5",
    "-gpt",
    ".hidden",
    'a"b',
    "a\\b",
    "a?b",
    "a#b",
    "a%b",
    "ä",
    "a" * 129,
]


@pytest.mark.parametrize("name", NAMES)
def test_a_providers_name_is_taken(name: str) -> None:
    """In a spec, a ladder and an evaluation."""
    assert AgentSpec(model=name).model == name
    assert DegradationStep(at=50, do="cheaper_model", model=name).model == name
    assert FoundryPolicy(model=name, evaluators=("relevance",)).model == name


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(name: str) -> None:
    """Blanks and what needs escaping above all."""
    for make in (lambda: AgentSpec(model=name), lambda: DegradationStep(at=50, do="cheaper_model", model=name)):
        with pytest.raises(ValidationError):
            make()
