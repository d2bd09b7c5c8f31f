"""What an agent is composed of: layers of settings over one another, and the personalities and capabilities they name.

A layer says some fields of a spec and leaves out the rest; what it leaves out is another layer's to say. Leaving a
field out and giving it as null are two things: null is the provider's default, said on purpose.
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
    """Fields that may be left out; only those that were given are written down."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @property
    def given(self) -> Mapping[str, Any]:
        """The fields that were given, null ones included, in the order of the class."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}

    @model_serializer(mode="plain")
    def _written(self) -> dict[str, Any]:
        return dict(self.given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Partial) and type(other) is type(self) and other.given == self.given

    __hash__ = None  # pyright: ignore[reportAssignmentType] - holds mappings


class Guideline(BaseModel):
    """What to do in a case.

    Attributes:
        when: The case, to be read after "When".
        then: What to do in it.
        priority: 0-100; of two guidelines that conflict, the one with the higher priority counts.
        category: What it is about, like `safety`; None for nothing in particular.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    when: Line
    then: Annotated[str, StringConstraints(min_length=1, max_length=1000, pattern=r"^[^\r\n]*\S[^\r\n]*$")]
    priority: int = Field(default=50, ge=0, le=100, strict=True)
    category: Label | None = None


class Personality(BaseModel):
    """How an agent speaks, whatever it speaks of.

    Attributes:
        description: What it is for, shown in lists.
        formality: 0 casual - 100 formal. This and the other traits: None, or about 50, says nothing.
        verbosity: 0 terse - 100 thorough.
        helpfulness: 0 answers only what is asked - 100 anticipates what is needed next.
        creativity: 0 sticks to the established - 100 looks for the unusual.
        empathy: 0 keeps to the matter - 100 attends to how the user feels.
        modifiers: Sentences of your own about how it speaks.
        response_templates: The wording to use, by situation.
        prohibited: What it must never do, to be read after "Never".
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
    """Something an agent can be switched to be able to do.

    Attributes:
        description: What it is for, shown in lists.
        instructions: What the agent is told about it; at most 10,000 characters.
        tools: What it may call for it, in addition to its own tools.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    description: str = Field(default="", max_length=512)
    instructions: str = Field(default="", max_length=10_000)
    tools: tuple[SpecTool, ...] = Field(default=(), max_length=64)


def _undefaulted(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # left out is not null


if TYPE_CHECKING:

    class SpecFields(Partial):
        """The fields of a spec, any of which may be left out."""

else:
    # Made from AgentSpec, so that a field it gets is one that every layer can say.
    SpecFields = create_model(
        "SpecFields",
        __base__=Partial,
        __doc__="The fields of a spec, any of which may be left out.",
        **{
            name: (Annotated[field.annotation, *field.metadata, Field(json_schema_extra=_undefaulted)], None)
            for name, field in AgentSpec.model_fields.items()
        },
    )


class Layer(SpecFields):
    """Fields of a spec, and what is put together with them.

    Attributes:
        more_instructions: Added to the instructions, where `instructions` replaces those of the layers below.
        personality: The personality to speak with; null for none.
        capabilities: Capabilities by name: true switches one on, false off.
        guidelines: What to do in which case, by name; null takes away one of a layer below.
        prohibited: What the agent must never do, to be read after "Never"; no other layer can take it back.
    """

    more_instructions: Annotated[
        str, Field(min_length=1, max_length=MAX_MORE_INSTRUCTIONS, json_schema_extra=_undefaulted)
    ] = ""
    personality: ItemName | None = None
    capabilities: Mapping[ItemName, StrictBool] = Field(default={}, max_length=64)
    guidelines: Mapping[ItemName, Guideline | None] = Field(default={}, max_length=100)
    prohibited: tuple[Line, ...] = Field(default=(), max_length=50)


class Template(Layer):
    """What agents of a kind have in common.

    Attributes:
        extends: The template that this one goes on from.
        category: What kind of template it is, to find it by.
    """

    extends: ItemName | None = None
    category: Label | None = None


class Overrides(Layer):
    """What a workspace says for all its agents, where they do not say it themselves."""


class AgentConfig(Layer):
    """An agent as its owner declares it.

    Attributes:
        template: The template that it is made from; None for a spec of its own.
        overrides: Whether the workspace's overrides apply to it.
    """

    template: ItemName | None = None
    overrides: bool = True

    @classmethod
    def of(cls, spec: AgentSpec) -> Self:
        """Return the declaration that says what the spec was given, and nothing else."""
        return cls.model_validate({name: getattr(spec, name) for name in spec.model_fields_set})

    @classmethod
    def exactly(cls, spec: AgentSpec) -> Self:
        """Return the declaration that comes to this very spec, whatever the workspace says for all its agents."""
        values = {name: getattr(spec, name) for name in AgentSpec.model_fields}
        return cls.model_validate({**values, "overrides": False})

    @classmethod
    def behind(cls, spec: AgentSpec) -> Self:
        """Return the declaration that a stored spec without one stands for: what is not as by default."""
        usual = {name: field.get_default(call_default_factory=True) for name, field in AgentSpec.model_fields.items()}
        values = {name: getattr(spec, name) for name in usual}
        return cls.model_validate({name: value for name, value in values.items() if value != usual[name]})


Content = Template | Personality | Capability | Overrides
"""What can be stored under a name and shared by agents."""
