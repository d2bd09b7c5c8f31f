"""Context providers for Agent Framework. Imports the framework, so import this module only where needed."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from agent_framework import AgentSession, ContextProvider, Message, SessionContext, SupportsAgentRun

from kernel.errors import Unavailable
from lifecycle.tools.context import CURRENT
from lifecycle.tools.definition import MAX_RESULT_BYTES
from lifecycle.tools.results import cut
from lifecycle.tools.sources import ContextSource

log = logging.getLogger(__name__)


def framework_providers(known: Mapping[str, ContextSource], names: Iterable[str]) -> list[ContextProvider]:
    """Return the named context providers for an agent."""
    return [_made(known[name]) for name in names]


def _made(source: ContextSource) -> ContextProvider:
    if inspect.isclass(source.make):
        return cast("Callable[[str], ContextProvider]", source.make)(source.name)
    return _Retrieved(source)


class _Retrieved(ContextProvider):
    """Adds a function's text as a message before the query, marked as data, not as instructions."""

    def __init__(self, source: ContextSource) -> None:
        super().__init__(source.name)
        self._source = source
        self._wanted = set(inspect.signature(source.make).parameters)

    async def before_run(
        self, *, agent: SupportsAgentRun, session: AgentSession, context: SessionContext, state: dict[str, Any]
    ) -> None:
        query = next((message.text for message in reversed(context.input_messages) if message.role == "user"), "")
        given = {name: value for name, value in (("query", query), ("context", CURRENT.get())) if name in self._wanted}
        text = await self._text(given)
        if text:
            shown = cut(text.encode(errors="replace"), MAX_RESULT_BYTES).text
            message = Message("user", [f'<context source="{self._source.name}">\n{shown}\n</context>'])
            context.extend_messages(self._source.name, [message])

    async def _text(self, given: Mapping[str, Any]) -> str:
        source = self._source
        try:
            async with asyncio.timeout(source.timeout_s):
                found = await source.make(**given)
        except TimeoutError:
            reason = f"took longer than {source.timeout_s:g} s"
        except Exception as error:  # noqa: BLE001 - its text may hold anything
            reason = "failed"
            log.warning("context provider %s: %s", source.name, type(error).__name__, extra={"event": "context.failed"})
        else:
            if found is None or isinstance(found, str):
                return found or ""
            reason = "returned no text"
        # An answer without its context would be a guess that nobody recognizes as one.
        msg = f"The context provider {source.name!r} {reason}."
        raise Unavailable(msg, code="context_provider_failed")
