"""Checkpoints of group chats by Agent Framework: rows beside their workflow run, deleted when it ends.

Table `workflowruns`, partition of the workflow run: `chat!{workflow run}!{step}!{checkpoint}`. A long one is stored
outside its row (`kernel.large_texts`). A checkpoint contains the conversation; it is never changed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kernel.codec import JsonCodec
from kernel.large_texts import LargeText, Owner, Texts
from kernel.tables import MAX_WRITES, Delete, Row, RowChanged, Span, Tables, Upsert, every, first_rows
from lifecycle.workflows.store import TABLE, home

if TYPE_CHECKING:
    from agent_framework import WorkflowCheckpoint

_WHERE = JsonCodec(LargeText)


class Checkpoints:
    """Stores the checkpoints of group chats."""

    def __init__(self, tables: Tables, texts: Texts) -> None:
        self._tables = tables
        self._texts = texts

    async def put(self, workspace: str, ident: str, step: str, checkpoint: str, text: str) -> None:
        """Store a checkpoint. Idempotent."""
        kept = await self._texts.keep(Owner(workspace, _session(ident), step), "checkpoint", text)
        values = {"text": kept} if isinstance(kept, str) else {"where": _WHERE.dump(kept)}
        row = Row(home(workspace, ident), f"{_prefix(ident, step)}{checkpoint}", values)
        await self._tables.commit(TABLE, [Upsert(row)])

    async def get(self, workspace: str, ident: str, step: str, checkpoint: str) -> str | None:
        """Return a checkpoint; None if there is none."""
        row = await self._tables.get(TABLE, home(workspace, ident), f"{_prefix(ident, step)}{checkpoint}")
        return None if row is None else await self._text(row)

    async def all(self, workspace: str, ident: str, step: str) -> dict[str, str]:
        """Return the checkpoints of a step, by their ids."""
        prefix = _prefix(ident, step)
        rows = [row async for row in every(self._tables, TABLE, Span.prefix(home(workspace, ident), prefix))]
        texts = await asyncio.gather(*(self._text(row) for row in rows))
        return {row.key.removeprefix(prefix): text for row, text in zip(rows, texts, strict=True)}

    async def delete(self, workspace: str, ident: str, step: str, checkpoint: str) -> bool:
        """Delete a checkpoint, and return whether there was one."""
        try:
            await self._tables.commit(TABLE, [Delete(home(workspace, ident), f"{_prefix(ident, step)}{checkpoint}")])
        except RowChanged:
            return False
        return True

    async def clear(self, workspace: str, ident: str) -> None:
        """Delete all checkpoints of a workflow run. Idempotent."""
        partition = home(workspace, ident)
        while rows := await first_rows(self._tables, TABLE, Span.prefix(partition, f"chat!{ident}!"), MAX_WRITES):
            try:
                await self._tables.commit(TABLE, [Delete(partition, row.key) for row in rows])
            except RowChanged:
                continue  # another process deletes them, or an earlier try took effect
        await self._texts.erase(workspace, _session(ident))

    async def _text(self, row: Row) -> str:
        where = row.text("where")
        return await self._texts.whole(_WHERE.load(where)) if where else row.text("text")


class TableCheckpointStorage:
    """Agent Framework's `CheckpointStorage` for one step of a workflow run.

    Attributes:
        last: The checkpoint last saved or loaded; empty for none.
        answers_included: How many answers it includes.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        workspace: str,
        ident: str,
        step: str,
        answered: Callable[[], int],
        *,
        keep: bool,
    ) -> None:
        """Set the step, and how to store its checkpoints.

        Args:
            checkpoints: Storage of checkpoints.
            workspace: The workspace.
            ident: Id of the workflow run.
            step: The step.
            answered: Returns how many answers the framework's workflow has been given so far.
            keep: Whether to store what is saved; False to find out only who speaks next.
        """
        self._checkpoints = checkpoints
        self._whose = workspace, ident, step
        self._answered = answered
        self._keep = keep
        self.last = ""
        self.answers_included = 0

    async def save(self, checkpoint: WorkflowCheckpoint) -> str:
        """Store a checkpoint and return its id."""
        if self._keep:
            await self._checkpoints.put(*self._whose, checkpoint.checkpoint_id, dumped(checkpoint))
        self.last, self.answers_included = checkpoint.checkpoint_id, self._answered()
        return checkpoint.checkpoint_id

    async def load(self, checkpoint_id: str) -> WorkflowCheckpoint:
        """Return a checkpoint.

        Raises:
            WorkflowCheckpointException: There is none, or it cannot be read.
        """
        from agent_framework import WorkflowCheckpointException  # noqa: PLC0415 - cold start

        text = await self._checkpoints.get(*self._whose, checkpoint_id)
        if text is None:
            msg = "There is no such checkpoint."
            raise WorkflowCheckpointException(msg)
        return loaded(text)

    async def list_checkpoints(self, *, workflow_name: str) -> list[WorkflowCheckpoint]:
        """Return the checkpoints of a workflow."""
        found = [loaded(text) for text in (await self._checkpoints.all(*self._whose)).values()]
        return [each for each in found if each.workflow_name == workflow_name]

    async def delete(self, checkpoint_id: str) -> bool:
        """Delete a checkpoint, and return whether there was one."""
        return await self._checkpoints.delete(*self._whose, checkpoint_id)

    async def get_latest(self, *, workflow_name: str) -> WorkflowCheckpoint | None:
        """Return the latest checkpoint of a workflow; None for none."""
        found = await self.list_checkpoints(workflow_name=workflow_name)
        return max(found, key=lambda each: each.timestamp, default=None)

    async def list_checkpoint_ids(self, *, workflow_name: str) -> list[str]:
        """Return the ids of the checkpoints of a workflow."""
        return [each.checkpoint_id for each in await self.list_checkpoints(workflow_name=workflow_name)]


def dumped(checkpoint: WorkflowCheckpoint) -> str:
    """Return a checkpoint as text in the framework's encoding: JSON, with pickles of what JSON cannot represent."""
    from agent_framework._workflows._checkpoint_encoding import encode_checkpoint_value  # noqa: PLC0415 - cold start

    return json.dumps(encode_checkpoint_value(checkpoint.to_dict()), ensure_ascii=False)


def loaded(text: str) -> WorkflowCheckpoint:
    """Return the checkpoint; pickles may contain only types of the framework and the standard library.

    Raises:
        WorkflowCheckpointException: It cannot be read.
    """
    from agent_framework import WorkflowCheckpoint, WorkflowCheckpointException  # noqa: PLC0415 - cold start
    from agent_framework._workflows._checkpoint_encoding import decode_checkpoint_value  # noqa: PLC0415 - cold start

    try:
        values: Any = decode_checkpoint_value(json.loads(text), allowed_types=frozenset())
    except ValueError as error:
        raise WorkflowCheckpointException(type(error).__name__) from None
    return WorkflowCheckpoint.from_dict(values)


def _prefix(ident: str, step: str) -> str:
    return f"chat!{ident}!{step}!"


def _session(ident: str) -> str:
    """Return the owner of texts in place of a session's id; no session's id begins with a tilde."""
    return f"~chat:{ident}"
