"""Layers of agents' settings, and the personalities and capabilities that they name.

A layer sets some fields of a spec and leaves the others to other layers. Null is not the same as leaving a field out:
it sets the provider's default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, create_model, model_serializer

from lifecycle.specs.hosted_tools import SpecTool
from lifecycle.specs.spec import AgentSpec, Label

ItemName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\r\n]*\S[^\r\n]*$")]
Situation = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\r\n]*\S[^\r\n]*$")]
Trait = Annotated[int, Field(ge=0, le=100, strict=True)]

MAX_MORE_INSTRUCTIONS = 20_000


class Partial(BaseModel):
    """A model whose fields may be left out; only given fields are serialized."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @property
    def given(self) -> Mapping[str, Any]:
        """The fields that were given, including nulls, in the order of the class."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    @model_serializer(mode="plain")
    def _written(self) -> dict[str, Any]:
        return dict(self.given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partial) and type(other) is type(self) and other.given == self.given

    __hash__ = None  # pyright: ignore[reportAssignmentType] - holds mappings


class Guideline(BaseModel):
    """An instruction for one case.

    Attributes:
        when: The case, to be read after "When".
        then: What to do in it.
        priority: 0-100; if two guidelines conflict, the higher one wins.
        category: A topic such as `safety`; None for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    when: Line
    then: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]*\S[^\r\n]*$")]
    priority: int = Field(default=50, ge=0, le=100, strict=True)
    category: Label | None = None


class Personality(BaseModel):
    """How an agent speaks, whatever the subject.

    Attributes:
        description: Its purpose, shown in lists.
        formality: 0 casual - 100 formal. For all traits, None and values near 50 add no instruction.
        verbosity: 0 terse - 100 thorough.
        helpfulness: 0 answers only what is asked - 100 anticipates what is needed next.
        creativity: 0 sticks to the established - 100 looks for the unusual.
        empathy: 0 keeps to the matter - 100 attends to how the user feels.
        modifiers: More sentences about how it speaks.
        response_templates: The wording to use, by situation.
        prohibited: What it must never do; each is read after "Never".
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    description: str = Field(default="", max_length=512)
    formality: Trait | None = None
    verbosity: Trait | None = None
    helpfulness: Trait | None = None
    creativity: Trait | None = None
    empathy: Trait | None = None
    modifiers: tuple[Line, ...] = Field(default=(), max_length=20)
    response_templates: Mapping[Situation, Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(
        default={}, max_length=20
    )
    prohibited: tuple[Line, ...] = Field(default=(), max_length=50)


class Capability(BaseModel):
    """An ability that can be switched on for an agent: instructions and tools.

    Attributes:
        description: Its purpose, shown in lists.
        instructions: Added to the agent's instructions; at most 10,000 characters.
        tools: Tools that it adds to the agent's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    description: str = Field(default="", max_length=512)
    instructions: str = Field(default="", max_length=10_000)
    tools: tuple[SpecTool, ...] = Field(default=(), max_length=64)


def _without_defaults(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # leaving a field out is not the same as null


if TYPE_CHECKING:

    class SpecFields(Partial):
        """The fields of a spec, all optional."""

else:
    # Generated from AgentSpec, so that layers can set every new field of it too.
    SpecFields = create_model(
        "SpecFields",
        __base__=Partial,
        __doc__="The fields of a spec, any of which may be left out.",
        **{
            name: (Annotated[field.annotation, *field.metadata, Field(json_schema_extra=_without_defaults)], None)
            for name, field in AgentSpec.model_fields.items()
        },
    )


class Layer(SpecFields):
    """Fields of a spec, and what is merged with other layers' instead of replacing it.

    Attributes:
        more_instructions: Added to the instructions; `instructions` replaces those of lower layers.
        personality: Name of the personality; null for none.
        capabilities: Capabilities by name: true switches one on, false off.
        guidelines: Guidelines by name; null removes one of a lower layer.
        prohibited: What the agent must never do; each is read after "Never". Other layers cannot remove one.
    """

    more_instructions: Annotated[
        str, Field(min_length=1, max_length=MAX_MORE_INSTRUCTIONS, json_schema_extra=_without_defaults)
    ] = ""
    personality: ItemName | None = None
    capabilities: Mapping[ItemName, StrictBool] = Field(default={}, max_length=64)
    guidelines: Mapping[ItemName, Guideline | None] = Field(default={}, max_length=100)
    prohibited: tuple[Line, ...] = Field(default=(), max_length=50)


class Template(Layer):
    """What agents of one kind have in common.

    Attributes:
        extends: Name of the template that this one is based on; None for none.
        category: Its category, for searching.
    """

    extends: ItemName | None = None
    category: Label | None = None


class Overrides(Layer):
    """A workspace's settings for all its agents; agents' own settings win over them."""


class AgentConfig(Layer):
    """An agent as its owner declares it.

    Attributes:
        template: Name of the template that it is based on; None for none.
        overrides: Whether the workspace's overrides apply.
    """

    template: ItemName | None = None
    overrides: bool = True

    @classmethod
    def of(cls, spec: AgentSpec) -> Self:
        """Return the declaration that sets exactly the fields that the spec was given."""
        return cls.model_validate({name: getattr(spec, name) for name in spec.model_fields_set})

    @classmethod
    def exactly(cls, spec: AgentSpec) -> Self:
        """Return the declaration that always gives this spec, whatever the workspace's overrides."""
        values = {name: getattr(spec, name) for name in AgentSpec.model_fields}
        return cls.model_validate({**values, "overrides": False})

    @classmethod
    def behind(cls, spec: AgentSpec) -> Self:
        """Return the declaration for a stored spec that has none: it sets the fields that differ from the defaults."""
        usual = {name: field.get_default(call_default_factory=True) for name, field in AgentSpec.model_fields.items()}
        values = {name: getattr(spec, name) for name in usual}
        return cls.model_validate({name: value for name, value in values.items() if value != usual[name]})


Content = Template | Personality | Capability | Overrides
"""Content of a named item that agents can share."""
