"""Durable entity `agent`: the actor of one agent, with the key `{workspace}.{name}`.

The Durable SDK 1.x does not roll back, does not retry, and loses an operation that raises (a property of the SDK, not
of the protocol). So an operation here never raises: a transient failure is retried here, any other is logged, and the
next use of the agent sends `ensure` again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from bootstrap.actors import Actors, signal_context
from kernel.errors import Unavailable
from kernel.tracing import attached

if TYPE_CHECKING:
    from lifecycle.registry.actor import ActorState
    from lifecycle.registry.actor_operations import Operation

log = logging.getLogger(__name__)

_RETRIES = 5
_FIRST_PAUSE_S = 0.5


def register(blueprint: df.Blueprint, actors: Actors) -> None:
    """Add the entity function."""

    @blueprint.entity_trigger(context_name="context", entity_name="agent")
    def agent(context: df.DurableEntityContext) -> None:  # pyright: ignore[reportUnusedFunction] - registered
        from lifecycle.registry.actor_operations import from_signal  # noqa: PLC0415 - cold start

        try:
            values = context.get_input() or {}
            sent = signal_context(values)
            operation = from_signal(context.operation_name or "", values)
        except (ValueError, TypeError) as error:
            log.warning("signal ignored: %s", type(error).__name__, extra={"event": "agent.bad_signal"})
            return
        before = _load(context.get_state(lambda: None))
        try:
            with attached(sent):
                after = actors.run(_handle(actors, before, context.entity_key, operation))
        except Exception as error:  # noqa: BLE001 - see the module's docstring
            log.error(  # noqa: TRY400 - an exception's text may quote a secret
                "operation lost: %s", type(error).__name__, extra={"event": "agent.operation_lost"}
            )
            return
        context.set_state(_dump(after))


async def _handle(actors: Actors, state: ActorState | None, key: str, operation: Operation) -> ActorState:
    pause = _FIRST_PAUSE_S
    for _ in range(_RETRIES):
        try:
            return await actors.handle(state, key, operation)
        except Unavailable:
            await asyncio.sleep(pause)
            pause *= 2
    return await actors.handle(state, key, operation)


def _dump(state: ActorState) -> dict[str, str]:
    from lifecycle.registry.record_store import dump_record  # noqa: PLC0415 - cold start

    return {"record": dump_record(state.record), "etag": state.etag}


def _load(value: Any) -> ActorState | None:
    from kernel.codec import Unreadable  # noqa: PLC0415 - cold start
    from lifecycle.registry.actor import ActorState  # noqa: PLC0415 - cold start
    from lifecycle.registry.record_store import load_record  # noqa: PLC0415 - cold start

    try:
        return ActorState(load_record(value["record"]), value["etag"]) if value else None
    except Unreadable:
        return None  # the row is read instead, which is right whatever is kept here
