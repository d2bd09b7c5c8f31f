"""Calls of function tools in an attempt: checked by guard and approval gate, made, and recorded as steps."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError, RunFailed
from kernel.lazy_dataclass import dataclass
from kernel.strict_json import is_list
from lifecycle.approvals.gate import Allowed, ApprovalGate, Gate, Pending, Rejected, RequestedCall, no_approvals
from lifecycle.teams.handoff import Handoffs
from lifecycle.tools.context import CURRENT, Setting, ToolContext
from lifecycle.tools.limited_calls import ToolFailed
from llmops.facts.attempt_fact import ToolCall

if TYPE_CHECKING:
    from agent_framework import FunctionInvocationContext, FunctionMiddleware

    from kernel.clock import Clock
    from lifecycle.conversations.run import Run
    from lifecycle.runs.call_metering import CallMeter
    from lifecycle.tools.definition import ToolTerms

HIDDEN = "[hidden]"
"""Replaces an argument that is not shown."""
_MOST_SHOWN = 2_048
_MOST_SHOWN_IN_ALL = 32_768


@dataclass(frozen=True, slots=True)
class ToolRules:
    """Rules of tool calls.

    Attributes:
        gate: Decides whether a call may be made.
        setting: Returns app settings to tools that ask for them.
        approvals: Decides which calls wait for a person; attempts then have a gate of their own.
        handoffs: Hands over runs of teams.
    """

    gate: Gate = no_approvals
    setting: Setting = lambda _: None
    approvals: ApprovalGate | None = None
    handoffs: Handoffs | None = None


class ToolCalls:
    """Makes and records the tool calls of one attempt.

    Attributes:
        made: The calls, in order.
    """

    def __init__(
        self,
        meter: CallMeter,
        run: Run,
        version: str,
        rules: ToolRules,
        clock: Clock,
        lasts: timedelta,
        *,
        resumed: bool,
    ) -> None:
        """Set the collaborators.

        Args:
            meter: Meters the model's calls that ask for tools, and stops a runaway run.
            run: The run.
            version: The agent's version.
            rules: Rules of calls.
            clock: Gives the time.
            lasts: How long the attempt may take from now on.
            resumed: Whether it continued from an earlier attempt's progress.
        """
        self._meter = meter
        self._run = run
        self._version = version
        self._rules = rules
        self._clock = clock
        self._until = clock() + lasts
        self._shown = 0
        self._repeats = run.attempt > 1 and (not resumed or run.lost is not None)
        self.made: list[ToolCall] = []

    @property
    def context(self) -> ToolContext:
        """The context of the run outside of tool calls."""
        run = self._run
        return ToolContext(
            run.workspace,
            run.agent,
            run.session_id,
            run.id,
            run.user_id,
            run.attempt,
            "",
            self._until,
            self._rules.setting,
            self._repeats,
        )

    def middleware(self) -> FunctionMiddleware:
        """Return function middleware for Agent Framework, which calls it around every function tool."""
        from agent_framework import MiddlewareFailure  # noqa: PLC0415 - cold start

        from lifecycle.tools.middleware import function_middleware  # noqa: PLC0415 - cold start

        @function_middleware
        async def step(context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
            try:
                await self._step(context, call_next)
            except RunFailed as error:
                # Any other exception of a function is sent to the model, which would continue.
                raise MiddlewareFailure(error.detail) from error

        return step

    async def _step(self, context: FunctionInvocationContext, call_next: Callable[[], Awaitable[None]]) -> None:
        from lifecycle.tools.function_tools import call_id_of, terms_of  # noqa: PLC0415 - cold start

        name, terms, arguments = context.function.name, terms_of(context.function), _plain(context.arguments)
        self._meter.guard.called(name, arguments)
        call = RequestedCall(name, call_id_of(context), arguments, terms.approval, self._version)
        noted = ToolCall(name, "ok", 0, self._clock(), call.call_id, self._shown_of(terms, arguments))
        noted = replace(noted, asked_by=self._meter.latest)
        started = time.perf_counter()
        try:
            verdict = await self._rules.gate(self._run, call)
            if isinstance(verdict, Pending):
                msg = f"The tool {name!r} waits for an approval."
                raise RunFailed(msg, code="approval_pending")  # noqa: TRY301 - noted as the step's outcome
            if isinstance(verdict, Rejected):
                context.result = f"The call was not made: {verdict.reason}"
                noted = replace(noted, outcome="rejected")
                return
            noted = await self._made(context, call_next, noted, terms, verdict)
        except BaseException as error:
            noted = replace(noted, outcome=_outcome(error))
            raise
        finally:
            took = round((time.perf_counter() - started) * 1000)
            self.made.append(replace(noted, ms=took))

    async def _made(
        self,
        context: FunctionInvocationContext,
        call_next: Callable[[], Awaitable[None]],
        noted: ToolCall,
        terms: ToolTerms,
        allowed: Allowed,
    ) -> ToolCall:
        if allowed.arguments != _plain(context.arguments):
            context.arguments = dict(allowed.arguments)
        until = min(self._until, self._clock() + timedelta(seconds=terms.timeout_s))
        token = CURRENT.set(replace(self.context, call_id=noted.call_id, deadline=until))
        try:
            await call_next()
        except ToolFailed as error:
            context.result = f"Error: {error}"
            return replace(noted, outcome=error.code)
        finally:
            CURRENT.reset(token)
        result = self._if_storable(text_of(context.result)[:_MOST_SHOWN]) if terms.show_result else ""
        return replace(noted, result_bytes=_size(context.result), result=result)

    def _shown_of(self, terms: ToolTerms, arguments: Mapping[str, Any]) -> str:
        return self._if_storable(shown(terms, arguments))

    def _if_storable(self, text: str) -> str:
        """Return the text; empty if it, or the attempt's total, is too long to be stored."""
        if len(text) > min(_MOST_SHOWN, _MOST_SHOWN_IN_ALL - self._shown):
            return ""
        self._shown += len(text)
        return text


def shown(terms: ToolTerms, arguments: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON, with hidden ones masked."""
    show = terms.show_arguments
    visible = {
        name: value if show is True or (isinstance(show, tuple) and name in show) else HIDDEN
        for name, value in arguments.items()
    }
    return json.dumps(visible, default=str)


def _outcome(error: BaseException) -> str:
    if isinstance(error, AppError):
        return error.code
    name = type(error).__name__
    return "invalid_arguments" if "ArgumentValidation" in name else name


def text_of(result: Any) -> str:
    """Return a call's result as text, as sent to the model."""
    if isinstance(result, str):
        return result
    parts = result if is_list(result) else [result]
    return "\n".join(str(getattr(part, "text", None) or "") for part in parts)


def _size(result: Any) -> int:
    """Return the size of a result's text, in bytes."""
    if isinstance(result, str):
        return len(result.encode())
    parts = result if is_list(result) else [result]
    return sum(len(str(getattr(part, "text", None) or "").encode()) for part in parts)


def _plain(arguments: Any) -> dict[str, Any]:
    """Return a tool's arguments as JSON values; the framework gives them as a model or as a mapping."""
    return arguments.model_dump(mode="json") if hasattr(arguments, "model_dump") else dict(arguments or {})
