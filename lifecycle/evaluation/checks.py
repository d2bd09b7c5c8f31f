"""Checks of an answer, and the place to add your own.

A check is one decorated function of a module. It takes any of `query`, `response`, `context`, `conversation` and
`expected_output` (what they are: agent_framework.EvalItem) and returns how good the answer is:

    @check
    def polite(response: str) -> float:
        return 1.0 if "please" in response.lower() else 0.3

True and False are 100 and 0, a number from 0 to 1 its percentage, None "does not apply"; a pair of one of these and a
sentence adds a reason, which is stored, so it should not quote the answer. Put the check into a module that the setting
EXTENSIONS names, and name it in an agent's `evaluation.checks`.

An app's own check runs in another process, which imports its module; it shares no objects with the app. A check that
raises, or exceeds its time limit, is left out of the score, with the reason; the run is not affected.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import lru_cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast, overload

from kernel.lazy_dataclass import dataclass
from lifecycle.evaluation.framework_evaluation import acknowledge
from llmops.evaluation.combined_score import Part

if TYPE_CHECKING:
    from agent_framework import CheckResult, EvalItem

    EvalCheck = Callable[[EvalItem], Awaitable[CheckResult]]

log = logging.getLogger(__name__)

Grade = bool | float | tuple[bool | float | None, str] | None
"""What a check returns."""

INLINE_CHARACTERS = 20_000
"""Most characters of answer and context for which an `inline` check runs on the event loop (some milliseconds)."""
MAX_CHARACTERS = 1_000_000
"""Most characters of answer and context that are checked."""
PAUSE_S = 60.0
"""Seconds for which a check is skipped after it exceeded its time limit."""

_KNOWN = frozenset({"query", "response", "context", "conversation", "expected_output"})
_PASSED = 50
_MAX_REASON = 500


@dataclass(frozen=True, slots=True)
class Check:
    """A check, with its name in scores.

    Attributes:
        name: Its name.
        function: A function of a module, or a `functools.partial` of one, so that another process can find it.
        inline: Whether its time is small and linear in the text, so that short texts need no other process.
        key: What is skipped after a time-out; None for all calls with this name.
    """

    name: str
    function: Callable[..., Grade | Awaitable[Grade]]
    inline: bool = False
    key: str = ""


Checks = Mapping[str, Check]
"""The available checks by name."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a check for another process: plain values only.

    Attributes:
        name: The check's name.
        module: The module of its function.
        function: The function's qualified name there; it may name a `Check`.
        bound: Fixed arguments.
        arguments: Arguments from the question and answer; a conversation as dictionaries.
    """

    name: str
    module: str
    function: str
    bound: Mapping[str, Any]
    arguments: Mapping[str, Any]


class CheckFailed(Exception):
    """The check gave no result; the text says why and quotes nothing of the answer."""


class TooSlow(CheckFailed):
    """The check exceeded its time limit; its process was ended."""


class CheckProcesses(Protocol):
    """Runs checks in other processes, which are ended when a check is stuck."""

    async def run(self, call: Call, limit: timedelta) -> Part:
        """Return the check's result.

        Raises:
            CheckFailed: There is none: it exceeded `limit` (`TooSlow`), or no process could be started.
        """
        ...


@overload
def check(function: Callable[..., Any], /) -> Check: ...
@overload
def check(*, name: str) -> Callable[[Callable[..., Any]], Check]: ...
def check(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Check | Callable[[Callable[..., Any]], Check]:
    """Make the function a check, with the function's name unless one is given.

    Raises:
        TypeError: A parameter's name is unknown, or it is not a function of a module.
    """

    def decorated(given: Callable[..., Any]) -> Check:
        wanted = inspect.signature(given).parameters
        unknown = [key for key, value in wanted.items() if key not in _KNOWN and value.default is value.empty]
        if unknown:
            msg = f"a check can have the parameters {', '.join(sorted(_KNOWN))}; not for {', '.join(unknown)}"
            raise TypeError(msg)
        if "<" in given.__qualname__:
            msg = f"a check is a function of a module, so that another process can import it; not {given.__qualname__}"
            raise TypeError(msg)
        return Check(name or given.__name__, given)

    return decorated(function) if function is not None else decorated


class CheckRunner:
    """Runs checks on Agent Framework's LocalEvaluator, isolated from one another and from the run."""

    def __init__(self, limit: timedelta, builtin: CheckProcesses, own: CheckProcesses) -> None:
        """Set the time limit, and the processes for checks that do not run on the event loop.

        Args:
            limit: Time limit of one check.
            builtin: Processes of built-in checks.
            own: Processes of the app's own checks, separate so that slow ones do not delay built-in ones.
        """
        self._limit = limit
        self._builtin = builtin
        self._own = own
        self._paused: dict[str, float] = {}

    async def run(self, checks: list[Check], item: EvalItem) -> list[Part]:
        """Return the result of every check, in their order."""
        if not checks:
            return []
        from agent_framework import CheckResult, LocalEvaluator  # noqa: PLC0415 - cold start

        acknowledge()
        parts: dict[str, Part] = {}

        def shut_off(one: Check) -> EvalCheck:
            async def guarded(item: EvalItem) -> CheckResult:
                part = parts[one.name] = await self._part(one, item)
                return CheckResult(part.value is None or part.value >= _PASSED, part.reason, one.name)

            return guarded

        await LocalEvaluator(*(shut_off(one) for one in checks)).evaluate([item])
        return [parts[one.name] for one in checks]

    async def _part(self, one: Check, item: EvalItem) -> Part:
        size = len(item.response) + len(item.context or "")
        if size > MAX_CHARACTERS:
            return left_out(one.name, f"answer and context have more than {MAX_CHARACTERS:,} characters")
        call = _call(one, item)
        if one.inline and size <= INLINE_CHARACTERS:
            return grade(one.name, partial(one.function, **call.arguments))
        key, now = one.key or one.name, time.monotonic()
        self._paused = {name: until for name, until in self._paused.items() if until > now}
        if key in self._paused:
            return left_out(one.name, "the check took too long a moment ago")
        try:
            return await (self._builtin if one.key or one.inline else self._own).run(call, self._limit)
        except CheckFailed as error:
            if isinstance(error, TooSlow):
                self._paused[key] = time.monotonic() + PAUSE_S
            log.warning("check %s: %s", one.name, error, extra={"event": "evaluation.check_failed"})
            return left_out(one.name, str(error))
        except Exception as error:  # noqa: BLE001 - a machine out of threads must not cost a run its answer
            log.warning("check %s: %s", one.name, type(error).__name__, extra={"event": "evaluation.check_failed"})
            return left_out(one.name, "it could not be run")


def perform(call: Call) -> Part:
    """Make the call (in the check process) and return the check's result."""
    import asyncio  # noqa: PLC0415 - few checks need it

    arguments = dict(call.arguments)
    if "conversation" in arguments:
        from agent_framework import Message  # noqa: PLC0415 - few checks need it

        arguments["conversation"] = [Message.from_dict(dict(message)) for message in arguments["conversation"]]

    def made() -> Any:
        found: Any = import_module(call.module)
        for name in call.function.split("."):
            found = getattr(found, name)
        function = found.function if isinstance(found, Check) else found
        result = function(**call.bound, **arguments)
        return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result

    return grade(call.name, made)


def grade(name: str, function: Callable[[], Any]) -> Part:
    """Return the score part for the function's grade or exception."""
    try:
        found = function()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's check must not cost a run its answer
        log.warning("check %s: %s", name, type(error).__name__, extra={"event": "evaluation.check_failed"})
        return left_out(name, f"the check raised {type(error).__name__}")
    pair = cast("tuple[object, ...]", found if isinstance(found, tuple) else (found,))
    value, reason = pair if len(pair) == 2 else (cast("object", found), "")
    if value is None:
        return Part(name, None, str(reason)[:_MAX_REASON])
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        return left_out(name, "the check returned no grade from 0 to 1")
    return Part(name, round(100 * value), str(reason)[:_MAX_REASON])


def left_out(name: str, why: str) -> Part:
    """Return the score part of a check without a result."""
    return Part(name, None, f"Left out: {why}.")


async def _awaited(result: Awaitable[Any]) -> Any:
    return await result


def _call(one: Check, item: EvalItem) -> Call:
    function = one.function
    bound: Mapping[str, Any] = {}
    if isinstance(function, partial):
        bound, function = function.keywords, function.func
    values: Mapping[str, Callable[[], Any]] = {
        "query": lambda: item.query,
        "response": lambda: item.response,
        "context": lambda: item.context,
        "conversation": lambda: [message.to_dict() for message in item.conversation],
        "expected_output": lambda: item.expected_output or "",
    }
    arguments = {name: values[name]() for name in _asked_for(function) if name not in bound}
    return Call(one.name, function.__module__, function.__qualname__, bound, arguments)


@lru_cache(maxsize=256)
def _asked_for(function: Callable[..., Any]) -> frozenset[str]:
    return _KNOWN.intersection(inspect.signature(function).parameters)
