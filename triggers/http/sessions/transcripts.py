"""Exports of a session: JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from kernel.clock import rfc3339
from kernel.errors import InvalidInput
from lifecycle.conversations.session import Session
from lifecycle.conversations.session_store import Turn
from lifecycle.sessions.transcript import Transcript
from triggers.http.runs.views import RunView
from triggers.http.sessions.views import EventView, SessionView, TranscriptView, TurnView

Format = Literal["json", "markdown"]


def export_format(text: str | None) -> Format:
    """Return the format of that name; JSON for None.

    Raises:
        InvalidInput: There is no such format.
    """
    match text:
        case None | "json":
            return "json"
        case "markdown":
            return "markdown"
        case _:
            rule = "json or markdown"
            raise InvalidInput(f"'format' is {rule}.", code="invalid_format", fields={"format": rule})


def as_view(found: Transcript) -> TranscriptView:
    """Return the transcript as a JSON view."""
    return TranscriptView(
        session=SessionView.of(found.session),
        messages=[TurnView.of(turn) for turn in found.turns],
        runs=[RunView.of(run) for run in found.runs],
        events=[EventView(number=n, name=each.name, data=each.data, at=each.at) for n, each in found.events],
    )


def as_markdown(found: Transcript) -> str:
    """Return the transcript as Markdown: the messages, their authors and times, and runs without an answer."""
    return "\n".join([*_head(found.session), *_said(found), *_unanswered(found)])


def _head(session: Session) -> Iterator[str]:
    yield f"# Session {session.id}"
    yield ""
    ended = f", {session.end_reason} at {rfc3339(session.ended_at)}" if session.ended_at else ""
    spend = session.spend
    rows = {
        "Agent": f"`{session.agent}`",
        "User": f"`{session.user_id}`" if session.user_id else "-",
        "State": f"{session.state.value}{ended}",
        "Started": rfc3339(session.created_at),
        "Messages": str(session.turns),
        "Runs": str(session.runs),
        "Cost": f"{spend.cost_micro_usd / 1_000_000:.6f} USD, {spend.calls} model calls",
    }
    yield "| | |"
    yield "|---|---|"
    for name, value in rows.items():
        yield f"| {name} | {value} |"


def _said(found: Transcript) -> Iterator[str]:
    for turn in found.turns:
        yield ""
        yield f"## {_speaker(turn, found.session)}, {rfc3339(turn.at)}"
        yield ""
        yield turn.text
        for call in turn.tool_calls:
            yield f"asks its caller for `{call.name}`: `{call.arguments}`"


def _speaker(turn: Turn, session: Session) -> str:
    names = {"user": session.user_id or "User", "assistant": session.agent}
    return names.get(turn.role, turn.role)


def _unanswered(found: Transcript) -> Iterator[str]:
    answered = {turn.run_id for turn in found.turns}
    missing = [run for run in found.runs if run.id not in answered]
    if not missing:
        return
    yield ""
    yield "## Without an answer"
    for run in missing:
        why = f": {run.error.detail} (`{run.error.code}`)" if run.error else ""
        yield ""
        yield f"{rfc3339(run.created_at)}, {run.state.value}{why}"
        yield ""
        yield "\n".join(f"> {line}" for line in run.query.splitlines())
