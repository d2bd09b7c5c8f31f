"""Client tools: offered to the model with a run, called by the caller, who sends the results with the next run.

A run whose model asks for them ends with the calls instead of an answer. The session's next run brings the results, and
the model continues from there. Pure rules.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from kernel.errors import InvalidInput, TooLarge
from kernel.lazy_dataclass import dataclass

MAX_TOOLS = 128
MAX_CALLS = 99
"""Most calls of a run: a call's id has two digits for its number."""
MAX_BYTES = 100_000
"""Most bytes of JSON of a run's tool descriptions."""
TOOL_CALLS = "tool_calls"
"""Finish reason of a run that ended with calls."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CALL = re.compile(r"call_([0-9a-f]{32})[0-9]{2}")
_LONGEST_ID = 128
_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True, slots=True)
class ClientTool:
    """A tool that the caller executes.

    Attributes:
        name: Its name, as the model knows it.
        description: Its description for the model.
        parameters: JSON Schema of its arguments, an object.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    name: str
    description: str = ""
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a call: the call's id, and the text for the model."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class ClientTools:
    """The client tools of a run request.

    Attributes:
        tools: Tools that the model may ask for, besides the agent's own.
        choice: `auto`; `none`; `required` for at least one tool; or the name of the tool that the model must call.
        results: Results of all the calls that the session's previous run ended with.
    """

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012 - read by pydantic, not a field

    tools: tuple[ClientTool, ...] = ()
    choice: str = "auto"
    results: tuple[ToolResult, ...] = ()

    @property
    def offered(self) -> tuple[ClientTool, ...]:
        """The tools to offer to the model: none if `choice` is `none`."""
        return () if self.choice == "none" else self.tools


@dataclass(frozen=True, slots=True)
class ClientCall:
    """A call of a client tool that a model asked for.

    Attributes:
        id: Unique in the workspace; contains the id of the run that ended with it.
        name: The tool's name.
        arguments: As written by the model: JSON, unless the model made an error.
    """

    id: str
    name: str
    arguments: str


def call_id(run_id: str, number: int) -> str:
    """Return the id of a run's call: 39 characters, as providers allow at most 40."""
    return f"call_{uuid.UUID(run_id).hex}{number:02d}"


def run_of_call(ident: str) -> str | None:
    """Return the id of the run that ended with the call; None if `ident` was not made by `call_id`."""
    found = _CALL.fullmatch(ident)
    return str(uuid.UUID(hex=found[1])) if found else None


def check(given: ClientTools, max_result_bytes: int) -> None:
    """Check a request's client tools.

    Raises:
        InvalidInput: A name, choice, schema or id is not valid, or occurs twice (`invalid_client_tools`).
        TooLarge: The results have more than `max_result_bytes` (`tool_results_too_large`).
    """
    names = [tool.name for tool in given.tools]
    if len(names) > MAX_TOOLS:
        raise _wrong("tools", f"at most {MAX_TOOLS}")
    for number, tool in enumerate(given.tools):
        if not _NAME.fullmatch(tool.name):
            raise _wrong(f"tools/{number}/name", "1 to 64 of a-z, A-Z, 0-9, _ and -")
        if names.index(tool.name) < number:
            raise _wrong(f"tools/{number}/name", "comes twice")
        if (tool.parameters or {}).get("type", "object") != "object":
            raise _wrong(f"tools/{number}/parameters", "the JSON Schema of an object")
    if names and len(described(given).encode(errors="replace")) > MAX_BYTES:
        raise _wrong("tools", f"at most {MAX_BYTES} bytes of JSON")
    if given.choice not in _CHOICES and given.choice not in names:
        raise _wrong("choice", "auto, none, required, or the name of one of tools")
    if given.choice == "required" and not names:
        raise _wrong("choice", "there are no tools")
    ids = [result.call_id for result in given.results]
    if len(ids) > MAX_CALLS or len(set(ids)) < len(ids) or not all(0 < len(each) <= _LONGEST_ID for each in ids):
        raise _wrong("results", f"at most {MAX_CALLS}, each of a call of its own")
    size = sum(len(result.output.encode(errors="replace")) for result in given.results)
    if size > max_result_bytes:
        msg = f"The tools' results are {size} bytes; at most {max_result_bytes} are allowed."
        raise TooLarge(msg, code="tool_results_too_large", fields={"/client_tools/results": msg})


def check_allowed(given: ClientTools | None, *, allowed: bool, taken: Collection[str]) -> None:
    """Check that an agent accepts the client tools.

    Args:
        given: The request's client tools.
        allowed: Whether the agent's spec allows it.
        taken: Names of the agent's own tools, and prefixes of its MCP servers' tools, each with a `*` at the end.

    Raises:
        InvalidInput: The agent accepts none (`client_tools_not_allowed`), or has a tool of that name
            (`client_tool_taken`).
    """
    if given is None:
        return
    if not allowed:
        rule = "only for agents whose spec has client_tools: true, and not for teams"
        msg = "This agent does not accept client tools."
        raise InvalidInput(msg, code="client_tools_not_allowed", fields={"/client_tools": rule})
    for number, tool in enumerate(given.tools):
        if any(tool.name == name or (name[-1] == "*" and tool.name.startswith(name[:-1])) for name in taken):
            fields = {f"/client_tools/tools/{number}/name": "the agent has a tool of that name"}
            raise InvalidInput(f"The agent has a tool {tool.name!r} itself.", code="client_tool_taken", fields=fields)


def described(given: ClientTools) -> str:
    """Return the tools' descriptions for a model, as JSON."""
    return json.dumps([[tool.name, tool.description, dict(tool.parameters or {})] for tool in given.offered])


def results_text(given: ClientTools) -> str:
    """Return the results as the text of a history message."""
    return json.dumps([{"call_id": each.call_id, "output": each.output} for each in given.results], ensure_ascii=False)


def results_of(text: str) -> tuple[ToolResult, ...]:
    """Return the results from a text that `results_text` made."""
    return tuple(ToolResult(each["call_id"], each["output"]) for each in json.loads(text))


def _wrong(place: str, rule: str) -> InvalidInput:
    return InvalidInput(
        "The caller's tools are not valid.", code="invalid_client_tools", fields={f"/client_tools/{place}": rule}
    )
