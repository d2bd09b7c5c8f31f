"""Functions as middleware of Agent Framework. Imported with a worker's first run.

The framework's own decorators of these names do the same, but it inspects the signature of each decorated function
twice a run, which takes one hundredth of a run's processor time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from agent_framework import ChatContext, ChatMiddleware, FunctionInvocationContext, FunctionMiddleware

CallNext = Callable[[], Awaitable[None]]


class _Chat(ChatMiddleware):
    def __init__(self, process: Callable[[ChatContext, CallNext], Awaitable[None]]) -> None:
        self._process = process

    async def process(self, context: ChatContext, call_next: CallNext) -> None:
        await self._process(context, call_next)


class _Function(FunctionMiddleware):
    def __init__(self, process: Callable[[FunctionInvocationContext, CallNext], Awaitable[None]]) -> None:
        self._process = process

    async def process(self, context: FunctionInvocationContext, call_next: CallNext) -> None:
        await self._process(context, call_next)


def chat_middleware(process: Callable[[ChatContext, CallNext], Awaitable[None]]) -> ChatMiddleware:
    """Return the function, which is called around each model call, as middleware."""
    return _Chat(process)


def function_middleware(
    process: Callable[[FunctionInvocationContext, CallNext], Awaitable[None]],
) -> FunctionMiddleware:
    """Return the function, which is called around each call of a function tool, as middleware."""
    return _Function(process)
