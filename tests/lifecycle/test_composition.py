"""Layers over one another, and the spec and instructions they come to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel.codec import JsonCodec
from kernel.errors import InvalidInput
from lifecycle.configuration.composition import Effective, composed
from lifecycle.configuration.layers import AgentConfig, Capability, Layer, Overrides, Personality, Template
from lifecycle.configuration.merging import DEFAULT, NOTHING, Merged, Origin
from lifecycle.configuration.rendering import as_text, trait_sentences
from lifecycle.specs.spec import AgentSpec, fingerprint

NAMES = st.sampled_from(["a", "b", "c"])
LINES = st.sampled_from(["Be kind.", "Be quick.", "Count twice."])
GUIDELINES = st.none() | st.fixed_dictionaries(
    {"when": LINES, "then": LINES}, optional={"priority": st.integers(0, 100), "category": NAMES}
)
FIELDS: Mapping[str, st.SearchStrategy[Any]] = {
    "provider": st.sampled_from(["offline", "openai"]),
    "model": NAMES,
    "instructions": LINES | st.just(""),
    "description": LINES,
    "temperature": st.none() | st.sampled_from([0.0, 0.5, 1.0]),
    "max_output_tokens": st.none() | st.integers(1, 9),
    "tools": st.lists(NAMES, unique=True),
    "labels": st.dictionaries(NAMES, NAMES),
    "pinned": st.booleans(),
    "more_instructions": LINES,
    "personality": st.none() | NAMES,
    "capabilities": st.dictionaries(NAMES, st.booleans()),
    "guidelines": st.dictionaries(NAMES, GUIDELINES),
    "prohibited": st.lists(LINES, max_size=2),
}
LAYERS = st.fixed_dictionaries({}, optional=dict(FIELDS)).map(Layer.model_validate)
STACKS = st.lists(LAYERS, max_size=5)
PERSONALITIES = st.builds(
    Personality,
    formality=st.none() | st.integers(0, 100),
    empathy=st.none() | st.integers(0, 100),
    modifiers=st.lists(LINES, max_size=2).map(tuple),
    prohibited=st.lists(LINES, max_size=2).map(tuple),
    response_templates=st.dictionaries(NAMES, LINES, max_size=2),
)
CAPABILITIES = st.lists(
    st.builds(Capability, instructions=LINES, tools=st.lists(NAMES, unique=True).map(tuple)), max_size=3
)


RENDERED = """You help.

You know bikes.

Calculate.

# How you write
- Write formally: whole sentences, no contractions, the polite form of address where the language has one.
- Say you.

# Set phrases
In these situations use this wording, with what is in braces filled in.
- Greeting: Hi {name}

# Guidelines
Where two of them conflict, the earlier one counts.
1. [safety] When someone is in danger: call for help
2. When asked for a refund: say who decides

# Never
Whatever you are asked and whoever asks, never:
- promise dates
- swear"""


def layer(**fields: Any) -> Layer:
    return Layer.model_validate(fields)


def merged(layers: list[Layer]) -> Merged:
    said = (Merged.of(layer, Origin("template", f"t{at}")) for at, layer in enumerate(layers))
    return reduce(Merged.under, said, NOTHING)


def effective(*layers: Layer, personality: Personality | None = None, **capabilities: Capability) -> Effective:
    spoken = (personality, Origin("personality", "p")) if personality else None
    return composed(
        merged([layer(model="m"), *layers]),
        spoken,
        [(each, Origin("capability", name)) for name, each in sorted(capabilities.items())],
    )


@given(LAYERS, LAYERS, LAYERS)
def test_merging_is_associative_and_has_an_identity(one: Layer, two: Layer, three: Layer) -> None:
    """How layers are grouped does not matter, only their order; nothing above or below changes nothing."""
    a, b, c = (Merged.of(layer, Origin("template", name)) for layer, name in ((one, "1"), (two, "2"), (three, "3")))

    assert a.under(b).under(c) == a.under(b.under(c))
    assert NOTHING.under(a) == a.under(NOTHING) == a


@given(STACKS)
def test_each_value_is_the_highest_layers_that_says_it(layers: list[Layer]) -> None:
    """Computed the other way round: each origin names the last layer that gives the field, and its value is its."""
    result = merged(layers)
    for path, sourced in result.values.items():
        givers = [at for at, layer in enumerate(layers) if _said(layer, path)]
        last = layers[givers[-1]].given[path[0]]

        assert sourced.origin == Origin("template", f"t{givers[-1]}")
        assert sourced.value == (last[path[1]] if len(path) > 1 else last)
    for field in ("more_instructions", "prohibited"):
        said = [layer.given[field] for layer in layers if field in layer.given]
        lines = [line for each in said for line in ([each] if isinstance(each, str) else each)]
        assert [each.value for each in result.added.get(field, ())] == lines


def _said(layer: Layer, path: tuple[str, ...]) -> bool:
    return path[0] in layer.given and (len(path) == 1 or path[1] in layer.given[path[0]])


@given(STACKS, st.none() | PERSONALITIES, CAPABILITIES)
def test_a_spec_can_be_made_again_from_its_origins(
    layers: list[Layer], personality: Personality | None, capabilities: list[Capability]
) -> None:
    """Values by pointer and sections are the whole spec, each from what its origin names, and always the same."""
    named = {f"c{at}": each for at, each in enumerate(capabilities)}
    found = effective(*layers, personality=personality, **named)
    again: dict[str, Any] = {"labels": {}, "tools": [], "instructions": as_text(found.sections)}
    for pointer, sourced in found.values.items():
        _, field, *rest = pointer.split("/")
        if field == "labels":
            again["labels"][rest[0]] = sourced.value
        elif field == "tools":
            assert int(rest[0]) == len(again["tools"])
            again["tools"].append(sourced.value)
        else:
            again[field] = sourced.value

    assert AgentSpec.model_validate(again) == found.spec
    assert fingerprint(effective(*layers, personality=personality, **named).spec) == fingerprint(found.spec)
    for pointer, sourced in found.values.items():
        field = pointer.split("/")[1]
        origin = sourced.origin
        if origin == DEFAULT:
            assert sourced.value == AgentSpec.model_fields[field].default
        elif origin.kind == "capability":
            assert sourced.value in named[origin.name].tools
        elif origin.name != "t0":
            assert field in layers[int(origin.name[1:]) - 1].given


@given(
    st.fixed_dictionaries(
        {"model": NAMES}, optional={k: v for k, v in FIELDS.items() if k in AgentSpec.model_fields and k != "model"}
    )
)
def test_a_spec_of_its_own_is_left_as_it_is(fields: dict[str, Any]) -> None:
    """What is composed of nothing but itself has the fingerprint it has always had."""
    spec = AgentSpec.model_validate(fields)
    for config in (AgentConfig.of(spec), AgentConfig.behind(spec)):
        found = composed(Merged.of(config, Origin("agent")), None, [])

        assert found.spec == spec
        assert fingerprint(found.spec) == fingerprint(spec)


@given(STACKS)
def test_a_layer_is_stored_as_it_was_given(layers: list[Layer]) -> None:
    """Null and left out are told apart after a round trip."""
    codec = JsonCodec(Layer)
    for layer in layers:
        assert codec.load(codec.dump(layer)) == layer
        assert codec.load(codec.dump(layer)).given == layer.given


def test_null_is_the_default_said_on_purpose() -> None:
    """A layer can take back a lower one's value where none is a value, and nowhere else."""
    low, high = (
        layer(temperature=0.5, personality="warm"),
        Layer.model_validate({"temperature": None, "personality": None}),
    )
    found = effective(low, high)

    assert found.spec.temperature is None
    assert found.values["/temperature"].origin == Origin("template", "t2")
    assert merged([low, high]).personality is None
    for field in ("provider", "labels", "instructions", "guidelines", "prohibited"):
        with pytest.raises(ValidationError):
            Layer.model_validate({field: None})


def test_every_field_of_a_spec_is_one_of_a_layer() -> None:
    """A field that specs get can be said in templates, overrides and declarations."""
    for layer in (Template, Overrides, AgentConfig):
        assert AgentSpec.model_fields.keys() <= layer.model_fields.keys()


def test_the_instructions_are_put_together_in_a_fixed_order() -> None:
    """Who it is, what it can do, how it speaks, what it does in which case, what it never does."""
    base = layer(
        instructions="You help.\n",
        guidelines={
            "refund": {"when": "asked for a refund.", "then": "say who decides", "priority": 10},
            "danger": {"when": "someone is in danger", "then": "call for help", "priority": 90, "category": "safety"},
            "gone": {"when": "x", "then": "y"},
        },
        prohibited=("promise dates",),
    )
    own = Layer.model_validate({"more_instructions": "You know bikes.", "guidelines": {"gone": None}})
    speaks = Personality(
        formality=90,
        verbosity=50,
        modifiers=("Say you.",),
        response_templates={"Greeting": "Hi {name}"},
        prohibited=("promise dates", "swear"),
    )
    found = effective(base, own, personality=speaks, sums=Capability(instructions="Calculate.", tools=("calculator",)))

    assert found.spec.instructions == RENDERED
    assert found.spec.tools == ("calculator",)
    assert [[origin.name for origin in section.origins] for section in found.sections] == [
        ["t1"], ["t2"], ["sums"], ["p"], ["p"], ["t1"], ["t1", "p"],
    ]  # fmt: skip


def test_tools_of_capabilities_come_after_the_agents_own_and_never_twice() -> None:
    """The agent's own list replaces a template's; what two capabilities bring is there once."""
    found = effective(
        layer(tools=("a", "b")),
        layer(tools=("c",)),
        x=Capability(tools=("c", "d")),
        y=Capability(tools=("d", "e")),
    )

    assert found.spec.tools == ("c", "d", "e")
    assert [found.values[f"/tools/{at}"].origin.name for at in range(3)] == ["t2", "x", "y"]


@pytest.mark.parametrize(
    ("layers", "pointer"),
    [
        ([layer(instructions="x" * 99_990), layer(more_instructions="y" * 20)], "/instructions"),
        (
            [layer(labels={f"k{at}": "v" for at in range(10)}), layer(labels={f"l{at}": "v" for at in range(10)})],
            "/labels",
        ),
        ([Layer.model_validate({"tools": [{"type": "web_search"}]})], "/"),
    ],
)
def test_what_makes_no_valid_spec_is_refused_with_its_place(layers: list[Layer], pointer: str) -> None:
    """Too long together, too many together, a tool the provider does not have."""
    with pytest.raises(InvalidInput) as caught:
        effective(*layers)

    assert list(caught.value.fields) == [pointer]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Personality, {"formality": 101}),
        (Personality, {"empathy": -1}),
        (Personality, {"modifiers": ["x" * 501]}),
        (Personality, {"modifiers": ["x"] * 21}),
        (Personality, {"modifiers": ["two\nlines"]}),
        (Personality, {"prohibited": [" "]}),
        (Personality, {"charm": 7}),
        (Capability, {"instructions": "x" * 10_001}),
        (Capability, {"tools": ["No Name"]}),
        (Template, {"extends": "../x"}),
        (Template, {"guidelines": {"g": {"when": "x", "then": "y", "priority": 101}}}),
        (Template, {"guidelines": {f"g{at}": {"when": "x", "then": "y"} for at in range(101)}}),
        (Template, {"more_instructions": "x" * 20_001}),
        (AgentConfig, {"template": "A B"}),
        (AgentConfig, {"capabilities": {"x": "yes please"}}),
    ],
)
def test_what_is_over_a_limit_is_refused(kind: type[Any], body: dict[str, Any]) -> None:
    """Numbers, lengths, counts and names have bounds."""
    with pytest.raises(ValidationError):
        kind.model_validate(body)


@given(PERSONALITIES)
def test_a_middling_trait_says_nothing(personality: Personality) -> None:
    """Each trait is at most one sentence; 41-60 is none."""
    said = list(trait_sentences(personality))
    strong = [
        value for value in (personality.formality, personality.empathy) if value is not None and not 41 <= value <= 60
    ]

    assert len(said) == len(strong)
    assert len(set(said)) == len(said)


def test_rules_of_approvals_accumulate_over_the_layers() -> None:
    """No agent takes back what its template demands."""
    lower = Template.model_validate({"approvals": [{"tools": ["refund"]}]})
    higher = AgentConfig.model_validate({"model": "m", "approvals": [{"tools": ["pay"]}]})
    merged = Merged.of(lower, Origin("template", "t")).under(Merged.of(higher, Origin("agent")))

    assert [rule.tools for rule in merged.values["approvals",].value] == [("refund",), ("pay",)]
    assert (
        merged.under(Merged.of(AgentConfig.model_validate({"model": "m"}), Origin("agent"))).values["approvals",].value
        == merged.values["approvals",].value
    )
