"""Hosted tool calls: those that the provider makes itself, after asking where an MCP server's spec has an `approval`.

The provider's requests for approval come in a model's response, like calls of function tools. The decisions are sent
with the next model call, which makes the allowed calls and continues from their results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernel.strict_json import is_list
from lifecycle.approvals.gate import Allowed, ApprovalGate, Rejected, RequestedCall
from lifecycle.runs.tool_calls import shown
from lifecycle.specs.servers import local_name
from lifecycle.tools.definition import ToolTerms
from llmops.facts.attempt_fact import ToolCall

if TYPE_CHECKING:
    from agent_framework import ChatResponse, Content, Message

    from kernel.clock import Clock
    from lifecycle.conversations.run import Run
    from lifecycle.specs.hosted_tools import Mcp

REASON = "reason"
"""Property of an answer to a request with the reason why a call may not be made."""


class HostedCalls:
    """Hosted tool calls of one attempt.

    Attributes:
        made: Calls made or rejected, in order. Their durations are part of their model call's.
    """

    def __init__(self, gate: ApprovalGate, run: Run, servers: Sequence[Mcp], version: str, clock: Clock) -> None:
        self._gate = gate
        self._run = run
        self._servers = {server.server_label: server for server in servers}
        self._version = version
        self._clock = clock
        self._answered: dict[str, str] = {}
        self.made: list[ToolCall] = []

    async def check(self) -> None:
        """Check that the provider asks wherever the workspace's policy could demand an approval.

        Raises:
            RunFailed: It does not ask (code `approval_not_asked`).
        """
        await self._gate.check_asked(self._run, list(self._servers.values()))

    def requested(self, response: ChatResponse[Any]) -> list[RequestedCall]:
        """Return the calls for which a response asks for approval."""
        return [self._call(content) for content in requests_of(response)]

    def answer(self, response: ChatResponse[Any], verdicts: Mapping[str, Allowed | Rejected], asked_by: int) -> Message:
        """Return the message with the decisions about a response's requests."""
        from agent_framework import Content, Message  # noqa: PLC0415 - cold start

        answers: list[Any] = []
        for content in requests_of(response):
            verdict = verdicts[str(content.id)]
            allowed = isinstance(verdict, Allowed)
            if isinstance(verdict, Rejected):
                self._note(self._call(content), "rejected", asked_by)
            answers.append(
                Content.from_function_approval_response(
                    allowed,
                    str(content.id),
                    content.function_call,  # pyright: ignore[reportArgumentType] - `requests_of` has looked
                    additional_properties={} if allowed else {REASON: verdict.reason},
                )
            )
        return Message("user", answers)

    async def begin(self, verdicts: Mapping[str, Allowed | Rejected], message: Message) -> None:
        """Store that the calls which a message allows are about to be made.

        Raises:
            AppError: It cannot be stored, or a call is no longer approved; the message must not be sent.
        """
        for content in message.contents:
            verdict = verdicts.get(str(content.id))
            if isinstance(verdict, Allowed) and verdict.approval_id:
                self._answered[str(content.id)] = verdict.approval_id
                await self._gate.begin(self._run.workspace, verdict.approval_id)

    async def note(self, response: ChatResponse[Any], asked_by: int) -> None:
        """Record the calls that the provider has made, and their results."""
        contents = [content for message in response.messages for content in message.contents]
        results = {content.call_id: content for content in contents if content.type == "mcp_server_tool_result"}
        for content in contents:
            if content.type != "mcp_server_tool_call":
                continue
            result = results.get(content.call_id)
            text = None if result is None or result.output is None else _text(result.output)
            call = self._call_made(content)
            self._note(call, "tool_failed" if text is None else "ok", asked_by, text)
            request = str(getattr(content.raw_representation, "approval_request_id", None) or "")
            if approval_id := self._answered.pop(request, ""):
                stored = "Error: The tool failed." if text is None else text
                await self._gate.finish(self._run.workspace, approval_id, stored)

    def _call(self, content: Content) -> RequestedCall:
        asked: Any = content.function_call
        label = str(asked.server_name or asked.additional_properties.get("server_label") or "")
        server = self._servers.get(label)
        return RequestedCall(
            local_name(label, str(asked.name)),
            str(content.id),
            dict(asked.parse_arguments() or {}),
            server.rule if server is not None else "always",
            self._version,
            hosted=True,
        )

    def _call_made(self, content: Content) -> RequestedCall:
        from agent_framework import Content as Made  # noqa: PLC0415 - cold start

        name = local_name(str(content.server_name or ""), str(content.tool_name or ""))
        given: Any = content.arguments
        parsed = Made.from_function_call(str(content.call_id), name, arguments=given).parse_arguments()
        return RequestedCall(name, str(content.call_id), dict(parsed or {}), "never", self._version, hosted=True)

    def _note(self, call: RequestedCall, outcome: str, asked_by: int, result: str | None = None) -> None:
        size = None if result is None else len(result.encode())
        arguments = shown(ToolTerms(), call.arguments)
        self.made.append(ToolCall(call.tool, outcome, 0, self._clock(), call.call_id, arguments, size, asked_by))


def requests_of(response: ChatResponse[Any]) -> list[Content]:
    """Return a response's requests for approval of hosted calls."""
    return [content for message in response.messages for content in message.contents if is_request(content)]


def is_request(content: Content) -> bool:
    """Return whether the content is a request for approval of a hosted call."""
    call = content.function_call
    return content.type == "function_approval_request" and call is not None and bool(call.hosted)


def _text(output: Any) -> str:
    parts: list[Any] = output if is_list(output) else [output]
    return "\n".join(str(getattr(part, "text", None) or part or "") for part in parts)
