"""Group chats: Agent Framework's orchestrations decide who speaks next; each contribution is a run.

The framework's workflow is built with agents whose model returns the answers given so far. It continues from a
checkpoint until an agent is asked for an answer that is missing, and is then dropped: nothing waits in memory. The
answer arrives as the end of a run; any worker then continues from the checkpoint. Continuing twice is harmless: the
same checkpoint and the same answers ask the same agent the same question.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernel.errors import AppError
from kernel.lazy_dataclass import dataclass
from lifecycle.workflows.checkpoints import Checkpoints, TableCheckpointStorage
from lifecycle.workflows.workflow_run import CHAT_FAILED, CHAT_LIMIT, ChatState, WorkflowRun

if TYPE_CHECKING:
    from agent_framework import Agent, Message, Workflow

    from lifecycle.registry.catalog import Catalog
    from lifecycle.specs.workflow import GroupChat

log = logging.getLogger(__name__)

MAX_TURNS = 120
"""Most runs of one group chat, including the manager's."""
_MOST_RESETS = 1


@dataclass(frozen=True, slots=True)
class Contribution:
    """The next contribution.

    Attributes:
        agent: The agent; None where the group chat has ended.
        prompt: Its query.
        state: State of the group chat.
        code: Code of why it has ended without an answer; empty if it has one.
    """

    agent: str | None
    prompt: str
    state: ChatState
    code: str = ""


class GroupChats:
    """Decides who speaks next."""

    def __init__(self, checkpoints: Checkpoints, catalog: Catalog) -> None:
        self._checkpoints = checkpoints
        self._catalog = catalog

    async def next(
        self, run: WorkflowRun, chat: GroupChat, prompt: str, answers: Sequence[str], *, keep: bool
    ) -> Contribution:
        """Return who speaks next in a group chat, and the query.

        Args:
            run: The workflow run.
            chat: The step.
            prompt: The subject.
            answers: The answers so far, in order.
            keep: Whether to store checkpoints, for the next call to continue from.
        """
        from agent_framework import WorkflowCheckpointException  # noqa: PLC0415 - cold start

        if len(answers) >= MAX_TURNS:
            return Contribution(None, "", ChatState(), CHAT_LIMIT)
        state = run.step(chat.name).chat or ChatState()
        try:
            return await self._next(run, chat, prompt, answers, state, keep=keep)
        except WorkflowCheckpointException:
            # E.g. after an upgrade of the framework: as all answers are stored, it can start from the beginning.
            log.warning("checkpoint of a group chat not read", extra={"event": "workflow.checkpoint_not_read"})
            return await self._next(run, chat, prompt, answers, ChatState(), keep=keep)

    async def clear(self, run: WorkflowRun) -> None:
        """Delete the checkpoints of a workflow run's group chats."""
        if any(step.chat is not None for step in run.steps):
            await self._checkpoints.clear(run.workspace, run.id)

    async def _next(
        self, run: WorkflowRun, chat: GroupChat, prompt: str, answers: Sequence[str], state: ChatState, *, keep: bool
    ) -> Contribution:
        from agent_framework import WorkflowCheckpointException  # noqa: PLC0415 - cold start

        log_of = _Answers(answers, state.answers_included)
        storage = TableCheckpointStorage(
            self._checkpoints, run.workspace, run.id, chat.name, lambda: log_of.given, keep=keep
        )
        descriptions = await self._descriptions(run.workspace, chat)
        workflow = _workflow(chat, descriptions, log_of, storage)
        begun = workflow.run(checkpoint_id=state.checkpoint) if state.checkpoint else workflow.run(prompt)
        task = asyncio.ensure_future(begun)
        await asyncio.wait({task, log_of.asked}, return_when=asyncio.FIRST_COMPLETED)
        at = ChatState(storage.last, storage.answers_included) if storage.last else state
        if log_of.asked.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            agent, messages = log_of.asked.result()
            return Contribution(agent, _text_of(messages), at)
        log_of.asked.cancel()
        error = task.exception()
        if isinstance(error, (WorkflowCheckpointException, AppError)) or not isinstance(error, Exception | None):
            raise error  # of the storage, to be retried; or the process ends
        return Contribution(None, "", at, _code_of(chat, task, answers))

    async def _descriptions(self, workspace: str, chat: GroupChat) -> Mapping[str, str]:
        """Return the agents' descriptions for the manager."""
        if chat.manager is None:
            return {}
        found = await asyncio.gather(*(self._catalog.find(workspace, name) for name in chat.group_chat))
        return {agent.name: agent.declaration.spec.description for agent in found if agent is not None}


class _Answers:
    """The answers of a group chat's agents, in order, and who is asked for the first missing one."""

    def __init__(self, answers: Sequence[str], given: int) -> None:
        self._answers = answers
        self.given = given
        self.asked: asyncio.Future[tuple[str, Sequence[Message]]] = asyncio.get_running_loop().create_future()

    async def of(self, agent: str, messages: Sequence[Message]) -> str:
        """Return the next answer; if it is missing, record who is asked, and wait to be cancelled."""
        if self.given < len(self._answers):
            self.given += 1
            return self._answers[self.given - 1]
        if not self.asked.done():
            self.asked.set_result((agent, messages))
        return await asyncio.get_running_loop().create_future()


def _workflow(
    chat: GroupChat, descriptions: Mapping[str, str], answers: _Answers, storage: TableCheckpointStorage
) -> Workflow:
    """Return the framework's workflow of a group chat; always the same, so that checkpoints fit it."""
    from agent_framework_orchestrations import GroupChatBuilder, GroupChatState, MagenticBuilder  # noqa: PLC0415

    participants = [_agent(name, answers, descriptions.get(name)) for name in chat.group_chat]
    if chat.manager is not None:
        return MagenticBuilder(
            name=chat.name,
            participants=participants,
            manager_agent=_agent(chat.manager, answers),
            max_round_count=chat.max_rounds,
            max_reset_count=_MOST_RESETS,
            checkpoint_storage=storage,
        ).build()

    def in_turn(state: GroupChatState) -> str:
        return chat.group_chat[state.current_round % len(chat.group_chat)]

    return GroupChatBuilder(
        name=chat.name,
        participants=participants,
        selection_func=in_turn,
        termination_condition=lambda contributions: (
            sum(each.author_name in chat.group_chat for each in contributions) >= chat.max_rounds
        ),
        checkpoint_storage=storage,
    ).build()


def _agent(name: str, answers: _Answers, description: str | None = None) -> Agent[Any]:
    from agent_framework import Agent, BaseChatClient, ChatResponse, FunctionInvocationLayer, Message  # noqa: PLC0415

    class Client(FunctionInvocationLayer[Any], BaseChatClient[Any]):
        """A model that returns the answers of runs."""

        def _inner_get_response(
            self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **kwargs: Any
        ) -> Any:
            if stream:
                msg = "a group chat is not streamed"
                raise RuntimeError(msg)
            return self._answered(list(messages))

        async def _answered(self, messages: Sequence[Message]) -> ChatResponse[Any]:
            return ChatResponse(messages=[Message("assistant", [await answers.of(name, messages)])])

    return Agent(client=Client(), name=name, description=description or name)


def _text_of(messages: Sequence[Message]) -> str:
    """Return messages as one text, with the speakers' names."""
    parts = [f"{each.author_name}: {each.text}" if each.author_name else each.text for each in messages]
    return "\n\n".join(text.strip() for text in parts if text.strip())


def _code_of(chat: GroupChat, task: asyncio.Future[Any], answers: Sequence[str]) -> str:
    """Return the code of why a group chat has ended without an answer; empty if it has one."""
    if (error := task.exception()) is not None:
        log.warning("group chat: %s", type(error).__name__, extra={"event": "workflow.group_chat_failed"})
        return CHAT_FAILED
    if chat.manager is None:
        return "" if answers else CHAT_LIMIT
    outputs = {getattr(output, "text", "") for output in task.result().get_outputs()}
    return "" if answers and answers[-1] in outputs else CHAT_LIMIT
