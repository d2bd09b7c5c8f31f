"""Tools by which a model hands a session over to another member of its team.

They are named as Agent Framework's handoff names them, `handoff_to_{member}`, so that prompts carry over. They are not
called: a response that asks for one ends the attempt. Only if no member can take over are they called, and tell the
model so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lifecycle.tools.definition import Tool, defined

PREFIX = "handoff_to_"
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "description": "Why somebody else is to go on."},
        "facts": {"type": "array", "items": {"type": "string"}, "description": "What you know."},
        "open_questions": {"type": "array", "items": {"type": "string"}, "description": "What is open."},
        "summary": {"type": "string", "description": "What was said, for whoever goes on."},
    },
}
"""Parameters of a handoff tool; the model may leave out all of them."""
REFUSED = "Nobody can take the conversation over now. Go on with it yourself."


def is_handoff(name: str) -> bool:
    """Return whether a tool of that name is a handoff tool."""
    return name.startswith(PREFIX) and len(name) > len(PREFIX)


def handoff_tool(name: str) -> Tool:
    """Return the tool of that name."""
    return defined(_refused, name)


def description_of(member: str, what_for: str) -> str:
    """Return the tool's description for the model."""
    return f"Handoff to {member}." + (f" {what_for}" if what_for else "")


def arguments_of(given: Mapping[str, Any]) -> tuple[str, tuple[str, ...], tuple[str, ...], str]:
    """Return the reason, facts, open questions and summary from a handoff's arguments."""
    reason, summary = given.get("reason"), given.get("summary")
    facts, questions = (_texts(given.get(name)) for name in ("facts", "open_questions"))
    return (
        reason if isinstance(reason, str) else "",
        facts,
        questions,
        summary if isinstance(summary, str) else "",
    )


async def _refused(
    reason: str = "", facts: list[str] | None = None, open_questions: list[str] | None = None, summary: str = ""
) -> str:
    """Hand the conversation over to somebody who can answer it better; the user sees one answer.

    reason: why; facts: what you know; open_questions: what is open; summary: what was said, for whoever takes over.
    """
    return REFUSED


def _texts(given: Any) -> tuple[str, ...]:
    return tuple(str(text) for text in cast("list[Any]", given)[:50]) if isinstance(given, list) else ()
