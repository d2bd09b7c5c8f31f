"""Hosted tools, which a provider runs itself: objects with a `type` in a spec, besides names of function tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kernel.strict_json import is_mapping
from kernel.validation import text_or_object
from lifecycle.tools.argument_conditions import MAX_LENGTH, check_condition
from lifecycle.tools.definition import Approval, When

ToolName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,255}$")]
Domain = Annotated[str, StringConstraints(pattern=r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class _Options(BaseModel):
    """Options that are serialized only if given, so that new options do not change existing fingerprints."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @model_serializer(mode="plain")
    def _given(self) -> dict[str, Any]:
        fields = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {name: _plain(value) for name, value in fields if value not in (None, ())}


class _HostedTool(_Options):
    @property
    def label(self) -> str:
        """The key that must be unique in a spec."""
        return str(getattr(self, "type"))  # noqa: B009 - each kind declares its own


class ApprovalWhen(BaseModel):
    """A condition on a call's arguments under which it needs an approval."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    when: Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(check_condition)]


ToolApproval = Annotated[
    Annotated[Literal["never", "always"], Tag("(text)")] | Annotated[ApprovalWhen, Tag("(object)")],
    Discriminator(text_or_object),
]


class Place(_Options):
    """Approximate location of the user: ISO 3166 country, names of region and city, IANA time zone."""

    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = None
    region: Words | None = None
    city: Words | None = None
    timezone: Words | None = None


class WebSearch(_HostedTool):
    """Searches the web.

    Attributes:
        search_context_size: How much of the found text the model gets; the provider's default is `medium`.
        allowed_domains: The only sites to search, like `learn.microsoft.com`; empty for all.
        user_location: Location to search from; None for none.
    """

    type: Literal["web_search"]
    search_context_size: Literal["low", "medium", "high"] | None = None
    allowed_domains: Annotated[tuple[Domain, ...], Field(max_length=100)] = ()
    user_location: Place | None = None


class CodeInterpreter(_HostedTool):
    """Runs Python code that the model writes, in a container at the provider.

    Attributes:
        file_ids: Files uploaded to the project that the code may read.
        memory_limit: Memory of the container; None for the provider's default.
    """

    type: Literal["code_interpreter"]
    file_ids: Annotated[tuple[Id, ...], Field(max_length=50)] = ()
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None


class FileSearch(_HostedTool):
    """Searches files in vector stores of the project.

    Attributes:
        vector_store_ids: The stores to search.
        max_num_results: Most passages to return; None for the provider's default.
    """

    type: Literal["file_search"]
    vector_store_ids: Annotated[tuple[Id, ...], Field(min_length=1, max_length=10)]
    max_num_results: Annotated[int, Field(ge=1, le=50)] | None = None


class Mcp(_HostedTool):
    """Tools of a Model Context Protocol server, called by `foundry` itself, and for every other provider by this app.

    A spec holds no secrets. With `foundry`, a server that needs any is reached through a connection of the project;
    else, and to list its tools, `headers_setting` names the app setting that has them.

    Attributes:
        server_label: The server's unique name in the spec.
        server_url: Its URL; can be given as `url`.
        project_connection_id: The project's connection to it; only with `foundry`.
        server_description: Its description for the model; only with `foundry`.
        allowed_tools: Names of the only tools to offer; empty for all.
        headers_setting: The app setting with the headers to send and the origin to send them to. With `foundry`, it is
            only for listing the tools, which the app does.
        approval: When a call needs an approval; None for never. With any other value, `foundry` asks the app before
            each call.
        timeout_s: Time limit of a call, in seconds; None for 30. Not with `foundry`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    type: Literal["mcp"]
    server_label: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    server_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s@]{1,2000}$")] | None = None
    project_connection_id: Id | None = None
    server_description: Words | None = None
    allowed_tools: Annotated[tuple[Words, ...], Field(max_length=128)] = ()
    headers_setting: Annotated[str, StringConstraints(pattern=r"^MCP_HEADERS_[A-Z0-9_]{1,64}$")] | None = None
    approval: ToolApproval | None = None
    timeout_s: Annotated[float, Field(gt=0, le=600)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _url(cls, value: Any) -> Any:
        if is_mapping(value) and "url" in value and "server_url" not in value:
            return {"server_url" if name == "url" else name: each for name, each in value.items()}
        return value

    @model_validator(mode="after")
    def _reachable(self) -> Mcp:
        if self.server_url is None and self.project_connection_id is None:
            msg = "an mcp tool needs a server_url or a project_connection_id"
            raise ValueError(msg)
        return self

    @property
    def label(self) -> str:
        """The key that must be unique in a spec."""
        return f"mcp {self.server_label}"

    @property
    def asks(self) -> bool:
        """Whether a provider that calls its tools itself asks the app before each call."""
        return self.approval not in (None, "never")

    @property
    def rule(self) -> Approval:
        """When a call of its tools needs an approval."""
        approval = self.approval or "never"
        return When(when=approval.when) if isinstance(approval, ApprovalWhen) else approval

    def unfit(self, provider: str) -> str | None:
        """Return why the server's fields do not fit the provider; None if they do."""
        if provider == "foundry":
            if self.timeout_s is not None:
                return "foundry calls MCP servers itself: leave out timeout_s"
            if self.headers_setting is not None and self.server_url is None:
                return "headers_setting is for a server_url, from which the app lists the tools"
            if self.server_url is not None and not self.server_url.startswith("https://"):
                return "foundry reaches MCP servers by https only"
            return None
        if self.server_url is None or self.project_connection_id is not None:
            return f"with the provider {provider!r} an mcp tool needs a server_url, and no project_connection_id"
        return None


HostedTool = WebSearch | CodeInterpreter | FileSearch | Mcp
"""A tool that the provider runs."""


class _Kinds:
    """The kinds of hosted tools by `type`, and the check of a function tool's name."""

    by_type: ClassVar[Mapping[str, type[HostedTool]]] = {
        "web_search": WebSearch,
        "code_interpreter": CodeInterpreter,
        "file_search": FileSearch,
        "mcp": Mcp,
    }
    name: ClassVar[TypeAdapter[str]] = TypeAdapter(ToolName, config=ConfigDict(defer_build=True))


def _tool(value: Any, _: ValidatorFunctionWrapHandler) -> str | HostedTool:
    """Return the tool; errors have the place in the matching kind, which a union of all kinds would not give."""
    if isinstance(value, HostedTool):
        return value
    if not is_mapping(value):
        return _Kinds.name.validate_python(value)
    kind = _Kinds.by_type.get(str(value.get("type")))
    if kind is None:
        types = ", ".join(sorted(_Kinds.by_type))
        msg = f"A tool is the name of a function tool, or an object whose type is one of {types}."
        raise PydanticCustomError("unknown_tool_type", "{msg}", {"msg": msg})
    return kind.model_validate(value)


SpecTool = Annotated[ToolName | HostedTool, WrapValidator(_tool)]
"""A tool in a spec: the name of a function tool, or a hosted tool."""


def repeated(tools: Iterable[str | HostedTool]) -> bool:
    """Return whether a name or a unique key occurs twice."""
    labels = [(isinstance(tool, str), tool if isinstance(tool, str) else tool.label) for tool in tools]
    return len(set(labels)) != len(labels)


def _plain(value: Any) -> Any:
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value
