"""An agent as a Python object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ValidationError

from kernel.errors import InvalidInput
from kernel.ids import agent_name, new_id
from kernel.validation import unknown_fields, wrong_places
from lifecycle.conversations.run_request import RunRequest
from lifecycle.specs.spec import AgentSpec

if TYPE_CHECKING:
    from bootstrap.library.manager import ProductionAgentManager
    from bootstrap.library.progress import OnProgress
    from lifecycle.conversations.run import Run
    from lifecycle.conversations.session import Session
    from lifecycle.conversations.session_store import Turn
    from lifecycle.runs.run_following import Delta


class ProductionAgent:
    """An agent. One object has one session at a time; `run` continues it."""

    def __init__(
        self,
        name: str,
        spec: AgentSpec | None = None,
        *,
        manager: ProductionAgentManager | None = None,
        storage: str | Path | None = None,
        reuse_agent: bool = True,
        session_id: str | None = None,
        on_progress: OnProgress | None = None,
        **fields: Any,
    ) -> None:
        """Set what agent it is; it is created at its provider by the first run, or by `prewarm`.

        Args:
            name: Its name, valid by `kernel.ids.agent_name`.
            spec: Its spec; or give the spec's fields by name. With neither, the agent as declared before.
            manager: Its manager; None for one of its own, which `aclose` closes.
            storage: Storage of its own manager; see ProductionAgentManager.
            reuse_agent: False creates an agent under the name with a random suffix, which `aclose` deletes.
            session_id: The session to continue; None for a new one.
            on_progress: Called for each stage of each run.
            fields: The spec's fields, such as `model` and `instructions`; `tools` may also contain functions of the
                program.

        Raises:
            InvalidInput: The spec is not valid, is given twice, or storage is given together with a manager.
            InvalidSettings: A setting in the environment is not valid.
        """
        if manager is not None and storage is not None:
            msg = "Give a manager or a storage, not both."
            raise InvalidInput(msg, code="manager_and_storage")
        self._owns = manager is None
        self._manager = manager or _manager_of_its_own(storage)
        if "tools" in fields:
            fields["tools"] = self._manager.named(fields["tools"])
        self._spec = _spec(spec, fields)
        self._ready: asyncio.Task[None] | None = None
        self.name = agent_name(name) if reuse_agent else self._manager.throwaway_name(agent_name(name))
        self.session_id = session_id or new_id()
        self.on_progress = on_progress

    def new_conversation(self) -> None:
        """Start a new session with the next run, without the history so far."""
        self.session_id = new_id()

    async def prewarm(self) -> None:
        """Declare the agent and create it at its provider before its first run; later calls do nothing.

        Raises:
            ProviderRejected: The provider refuses to create it.
            Unavailable: The provider or the storage cannot be reached.
            NotFound: It has no spec, and was never declared.
        """
        if self._ready is None or (self._ready.done() and (self._ready.cancelled() or self._ready.exception())):
            self._ready = asyncio.create_task(self._manager.make(self.name, self._spec))
        await asyncio.shield(self._ready)

    async def run(
        self,
        query: str,
        *,
        user_id: str | None = None,
        expected_topics: Iterable[str] = (),
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Submit a query, and return the run with its answer.

        Raises:
            InvalidInput: The query or what belongs to it is not valid.
            Conflict: The manager is closed (code `manager_closed`).
            AppError: The run failed; the code is the reason.
        """
        request = _request(
            query=query, session_id=self.session_id, user_id=user_id, expected_topics=tuple(expected_topics)
        )
        await self.prewarm()
        return await self._manager.run(self.name, request, on_progress=on_progress or self.on_progress)

    async def stream(self, query: str, *, user_id: str | None = None) -> AsyncGenerator[Delta]:
        """Submit a query, and yield the answer as it is written; closing the iterator early cancels the run.

        Raises:
            AppError: The run failed; the code is the reason.
        """
        request = _request(query=query, session_id=self.session_id, user_id=user_id, stream=True)
        await self.prewarm()
        async with aclosing(self._manager.stream(self.name, request)) as answer:
            async for piece in answer:
                yield piece

    async def session(self) -> Session | None:
        """Return the session's state, limits and costs; None before its first run."""
        return await self._manager.session(self.session_id)

    async def history(self, limit: int = 1000) -> Sequence[Turn]:
        """Return the session's first messages, up to `limit` (1-1000)."""
        return await self._manager.history(self.session_id, limit=limit)

    async def export_session_data(self) -> Mapping[str, Any]:
        """Return the session, its runs and events as JSON; see `ProductionAgentManager.export_session_data`."""
        return await self._manager.export_session_data(self.session_id)

    async def aclose(self) -> None:
        """Close the agent's own manager, if any, which deletes an agent created with `reuse_agent=False`."""
        if self._ready is not None:
            await asyncio.gather(self._ready, return_exceptions=True)
        if self._owns:
            await self._manager.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def _manager_of_its_own(storage: str | Path | None) -> ProductionAgentManager:
    from bootstrap.library.manager import ProductionAgentManager  # noqa: PLC0415 - which makes agents

    return ProductionAgentManager(storage)


def _spec(spec: AgentSpec | None, fields: Mapping[str, Any]) -> AgentSpec | None:
    if spec is not None and fields:
        msg = "Give a spec or its fields, not both."
        raise InvalidInput(msg, code="spec_and_fields")
    if not fields:
        return spec
    try:
        return AgentSpec.model_validate(fields)
    except ValidationError as error:
        raise _invalid("agent's spec", error, AgentSpec, "invalid_spec") from None


def _request(**fields: Any) -> RunRequest:
    try:
        return RunRequest.model_validate(fields)
    except ValidationError as error:
        raise _invalid("run request", error, RunRequest, InvalidInput.code) from None


def _invalid(what: str, error: ValidationError, model: type[BaseModel], code: str) -> InvalidInput:
    """Return the error in the words of the API's: it names fields, never their values."""
    wrong = wrong_places(error)
    detail = "; ".join(f"{place}: {why}" for place, why in wrong.items())
    text = f"The {what} is not valid: {detail}. {unknown_fields(error, model)}".rstrip()
    return InvalidInput(text, code=code, fields=wrong)
