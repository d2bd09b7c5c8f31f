"""Calls a tool's function within limits: if it is slow, hangs, raises, exits or forks, only its own call fails."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kernel.lazy_dataclass import dataclass
from lifecycle.tools.context import CURRENT
from lifecycle.tools.results import Rendered, rendered

if TYPE_CHECKING:
    from lifecycle.tools.definition import Tool

log = logging.getLogger(__name__)

MAX_STUCK = 4
"""Calls of one tool that may hang, in threads or though cancelled; while there are as many, it is not called."""

_stuck: Counter[str] = Counter()
_left: set[asyncio.Task[Any]] = set()


class ToolFailed(Exception):
    """The tool gave no result. The text is for the model and quotes nothing that the tool raised.

    Attributes:
        code: `tool_timeout`, `tool_stuck`, `tool_failed`, `tool_result_unusable`, `tool_unavailable`.
    """

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The function's result, or the name of the exception's type."""

    value: Any = None
    raised: str = ""
    failed: ToolFailed | None = None


async def call(tool: Tool, arguments: Mapping[str, Any]) -> Rendered:
    """Call the tool and return its result as text.

    Raises:
        ToolFailed: It gave no result.
    """
    given = dict(arguments)
    if tool.context_parameter is not None:
        context = CURRENT.get()
        if context is None:
            msg = "The tool can only be called in a run."
            raise ToolFailed(msg, "tool_unavailable")
        given[tool.context_parameter] = context
    limit = tool.terms.timeout_s
    if _stuck[tool.name] >= MAX_STUCK:
        msg = "The tool hangs in earlier calls and is not called again for now."
        raise ToolFailed(msg, "tool_stuck")
    if inspect.iscoroutinefunction(tool.function):
        outcome = await _awaited(tool, given, limit)
    else:
        outcome = await _in_thread(tool, given, limit)
    if outcome is None:
        log.warning("tool %s: took longer than %g s", tool.name, limit, extra={"event": "tool.timeout"})
        msg = f"The tool took longer than {limit:g} s. What it did until then is unknown."
        raise ToolFailed(msg, "tool_timeout")
    if outcome.failed is not None:
        raise ToolFailed(str(outcome.failed), outcome.failed.code)
    if outcome.raised:
        log.warning("tool %s: %s", tool.name, outcome.raised, extra={"event": "tool.failed"})
        msg = "The tool failed."
        raise ToolFailed(msg, "tool_failed")
    return outcome.value


def _rendered(tool: Tool, value: Any) -> _Outcome:
    try:
        return _Outcome(rendered(value, tool.terms.max_result_bytes))
    except Exception as error:  # noqa: BLE001 - whatever an object of somebody else's does when it is read
        log.warning("tool %s: result: %s", tool.name, type(error).__name__, extra={"event": "tool.result_unusable"})
        return _Outcome(failed=ToolFailed("The tool returned what cannot be shown.", "tool_result_unusable"))


async def _awaited(tool: Tool, given: Mapping[str, Any], limit: float) -> _Outcome | None:
    async def work() -> _Outcome:
        # An exception that leaves a task is kept with its traceback; one that exits would end the event loop.
        try:
            return _rendered(tool, await tool.function(**given))
        except ToolFailed as error:
            return _Outcome(failed=error)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody's tool must not cost a run its answer
            return _Outcome(raised=type(error).__name__)

    task = asyncio.create_task(work())
    _left.add(task)
    task.add_done_callback(_left.discard)
    try:
        # Not `asyncio.timeout`: a tool that swallows its cancellation must not block the run.
        await asyncio.wait({task}, timeout=limit)
    finally:
        done = task.done()
        if not done:
            task.cancel()
            _stuck[tool.name] += 1
            task.add_done_callback(lambda _: _stuck.subtract([tool.name]))
    if not done:
        return None
    return _Outcome(raised="CancelledError") if task.cancelled() else task.result()


async def _in_thread(tool: Tool, given: Mapping[str, Any], limit: float) -> _Outcome | None:
    """Call a sync function in a thread of its own, and return its outcome; None if it timed out.

    Only a thread can be abandoned if it does not return. One of a pool would delay other calls, and the process would
    wait for it when it ends.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Outcome] = loop.create_future()
    lock, state = threading.Lock(), {"left": False, "over": False}

    def settle(outcome: _Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    def work() -> None:
        try:
            value = tool.function(**given)
            outcome = _sync_outcome(tool, value)
        except ToolFailed as error:
            outcome = _Outcome(failed=error)
        except BaseException as error:  # noqa: BLE001 - what exits here would only end this thread, unheard
            outcome = _Outcome(raised=type(error).__name__)
        if threading.current_thread() is threading.main_thread():
            return  # in a child process forked by the tool: the parent makes the call
        with lock:
            state["over"] = True
            if state["left"]:
                _stuck[tool.name] -= 1
                return
        _call_soon(loop, settle, outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=f"tool-{tool.name}", daemon=True).start()
    try:
        async with asyncio.timeout(limit):
            return await future
    except TimeoutError:
        return None
    finally:
        with lock:
            if not state["over"]:
                state["left"] = True
                _stuck[tool.name] += 1


def _sync_outcome(tool: Tool, value: Any) -> _Outcome:
    if inspect.isawaitable(value):
        # A partial or a callable object that returns a coroutine: this thread has no event loop, so it gets one.
        async def awaited() -> Any:
            return await value

        value = asyncio.run(awaited())
    return _rendered(tool, value)


def _call_soon(loop: asyncio.AbstractEventLoop, settle: Callable[[_Outcome], None], outcome: _Outcome) -> None:
    try:
        loop.call_soon_threadsafe(settle, outcome)
    except RuntimeError:
        return  # the loop has ended, and with it the waiting call
