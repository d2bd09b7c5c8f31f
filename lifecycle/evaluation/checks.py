"""Checks of an answer, and the place to add your own.

A check is one decorated function. It takes any of `query`, `response`, `context`, `conversation`, `tools` and
`expected_output` (what they are: agent_framework.EvalItem) and returns how good the answer is:

    @check
    def polite(response: str) -> float:
        return 1.0 if "please" in response.lower() else 0.3

True and False are 100 and 0, a number from 0 to 1 its percentage, None "does not apply", and a pair of one of these and
a sentence says why; the sentence is stored, so it should quote nothing of the answer. Put the check into the mapping
that `bootstrap.parts.configuration` makes, and name it in an agent's `evaluation.checks`.

A check that raises, or takes longer than it may, is left out of the score, which says so; the run is not harmed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, overload

from lifecycle.evaluation.framework import acknowledge
from llmops.evaluation.scoring import Part

if TYPE_CHECKING:
    from agent_framework import CheckResult, EvalItem

    EvalCheck = Callable[[EvalItem], CheckResult | Awaitable[CheckResult]]

log = logging.getLogger(__name__)

Grade = bool | float | tuple[bool | float | None, str] | None
"""What a check returns."""

_KNOWN = frozenset({"query", "response", "context", "conversation", "tools", "expected_output"})
_PASSED = 50


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name in scores."""

    name: str
    function: Callable[..., Grade | Awaitable[Grade]]


Checks = Mapping[str, Check]
"""The checks that specs can name."""


@overload
def check(function: Callable[..., Any], /) -> Check: ...
@overload
def check(*, name: str) -> Callable[[Callable[..., Any]], Check]: ...
def check(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None
) -> Check | Callable[[Callable[..., Any]], Check]:
    """Make the function a check, named like it unless a name is given.

    Raises:
        TypeError: It asks for what there is not.
    """

    def decorated(given: Callable[..., Any]) -> Check:
        wanted = inspect.signature(given).parameters
        unknown = [key for key, value in wanted.items() if key not in _KNOWN and value.default is value.empty]
        if unknown:
            msg = f"a check can ask for {', '.join(sorted(_KNOWN))}; not for {', '.join(unknown)}"
            raise TypeError(msg)
        return Check(name or given.__name__, given)

    return decorated(function) if function is not None else decorated


class CheckRunner:
    """Runs checks on Agent Framework's LocalEvaluator, each shut off from the others and from the run."""

    def __init__(self, timeout: timedelta) -> None:
        """Set how long one check may take."""
        self._timeout = timeout.total_seconds()
        self._stuck: set[str] = set()

    async def run(self, checks: list[Check], item: EvalItem) -> list[Part]:
        """Return what every check found, in their order."""
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
        if one.name in self._stuck:
            return Part(one.name, None, "Left out: an earlier call of this check has not returned yet.")
        try:
            async with asyncio.timeout(self._timeout):
                grade = await self._grade(one, _arguments(one, item))
            return _part_of(one.name, grade)
        except TimeoutError:
            return Part(one.name, None, f"Left out: the check took longer than {self._timeout:g} s.")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's check must not cost a run its answer
            log.warning("check %s: %s", one.name, type(error).__name__, extra={"event": "evaluation.check_failed"})
            return Part(one.name, None, f"Left out: the check raised {type(error).__name__}.")

    async def _grade(self, one: Check, arguments: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(one.function):
            return await one.function(**arguments)
        # In a thread of its own: nothing else can leave a function that does not return. A thread of a pool would be
        # waited for when the process ends.
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def settle(set_it: Callable[[Any], None], value: Any) -> None:
            self._stuck.discard(one.name)
            if not done.done():
                set_it(value)

        def work() -> None:
            try:
                outcome: tuple[Callable[[Any], None], Any] = (done.set_result, one.function(**arguments))
            except BaseException as error:  # noqa: BLE001 - carried over to the loop
                outcome = (done.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who waited
                loop.call_soon_threadsafe(settle, *outcome)

        threading.Thread(target=work, name=f"check-{one.name}", daemon=True).start()
        try:
            return await done
        except asyncio.CancelledError:
            self._stuck.add(one.name)
            raise


def _arguments(one: Check, item: EvalItem) -> Mapping[str, Any]:
    values: Mapping[str, Callable[[], Any]] = {
        "query": lambda: item.query,
        "response": lambda: item.response,
        "context": lambda: item.context,
        "conversation": lambda: item.conversation,
        "tools": lambda: item.tools,
        "expected_output": lambda: item.expected_output or "",
    }
    return {name: values[name]() for name in inspect.signature(one.function).parameters if name in values}


def _part_of(name: str, grade: Any) -> Part:
    value, reason = grade if isinstance(grade, tuple) else (grade, "")
    if value is None:
        return Part(name, None, str(reason))
    if not isinstance(value, bool | int | float) or not 0 <= value <= 1:
        return Part(name, None, "Left out: the check returned no grade from 0 to 1.")
    return Part(name, round(100 * value), str(reason))
