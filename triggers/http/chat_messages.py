"""Splitting the messages of a conversation into the question and what came before; for all chat protocols."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from kernel.lazy_dataclass import dataclass
from lifecycle.conversations.client_tool_values import ClientTools, ToolResult, results_text
from lifecycle.conversations.session import EarlierMessage


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """The content of a request.

    Attributes:
        query: The question: the user's messages after the last answer; empty where only tool results are given.
        before: The conversation before it; the caller's system prompt is included as a message of the user.
        results: Results of the calls of the caller's tools that the last answer asked for.
    """

    query: str
    before: tuple[EarlierMessage, ...]
    results: tuple[ToolResult, ...] = ()


def split(messages: Sequence[EarlierMessage | ToolResult]) -> ChatRequest | None:
    """Return the content of messages, in order; None where the last one is neither the user's nor a tool's."""
    last = next((n for n in reversed(range(len(messages))) if _role(messages[n]) == "assistant"), -1)
    now = messages[last + 1 :]
    results = tuple(one for one in now if isinstance(one, ToolResult))
    asked = [one.text for one in now if isinstance(one, EarlierMessage) and one.role == "user"]
    if not (asked or results) or _role(messages[-1]) not in ("user", "tool"):
        return None
    instructions = [one for one in now if isinstance(one, EarlierMessage) and one.role != "user"]
    earlier = [*messages[: max(last, 0)], *instructions, *messages[max(last, 0) : last + 1]]
    return ChatRequest("\n\n".join(asked), tuple(_as_history(earlier)), results)


def _role(one: EarlierMessage | ToolResult) -> str:
    return one.role if isinstance(one, EarlierMessage) else "tool"


def _as_history(messages: Sequence[EarlierMessage | ToolResult]) -> Iterator[EarlierMessage]:
    """Yield the messages as a session's history stores them: the results of an answer's calls are one message."""
    for kind, group in groupby(messages, key=_role):
        if kind == "tool":
            found = tuple(one for one in group if isinstance(one, ToolResult))
            yield EarlierMessage("tool", results_text(ClientTools(results=found)))
            continue
        for one in group:
            if isinstance(one, EarlierMessage) and (one.text.strip() or one.tool_calls):
                yield one if kind == "assistant" else EarlierMessage("user", one.text)
