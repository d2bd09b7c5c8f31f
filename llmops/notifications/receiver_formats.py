"""The body of a notification in the format of each kind of receiver."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from kernel.clock import rfc3339
from kernel.errors import InvalidInput
from kernel.event_versions import schema_of

if TYPE_CHECKING:
    from llmops.notifications.notification import Notification, Severity

Format = Literal["slack", "teams", "json", "cloudevents", "email"]
WebhookFormat = Literal["slack", "teams", "json", "cloudevents"]
CLOUD_EVENT = "application/cloudevents+json; charset=utf-8"
CLOUD_EVENTS_BATCH = "application/cloudevents-batch+json; charset=utf-8"

_MARKS: Mapping[Severity, str] = {"info": "\u2139\ufe0f", "warning": "\u26a0\ufe0f", "critical": "\U0001f6a8"}
_COLORS: Mapping[Severity, str] = {"info": "Accent", "warning": "Warning", "critical": "Attention"}
_HEADER, _TEXT, _FACT, _FACTS = 150, 2900, 500, 10
"""Slack's limits on a header, a section's text (3,000 once escaped), one field and their number; Teams allows more."""


def format_of(text: str) -> Format:
    """Return the format of that name.

    Raises:
        InvalidInput: There is no such format.
    """
    for name in get_args(Format):
        if name == text:
            return name
    allowed = ", ".join(get_args(Format))
    raise InvalidInput(f"format is one of: {allowed}.", code="invalid_format", fields={"/format": allowed})


def body_of(notification: Notification, kind: WebhookFormat) -> bytes:
    """Return the notification as the body of a webhook."""
    return json.dumps(_MAKERS[kind](notification), ensure_ascii=False, separators=(",", ":")).encode()


def _slack(note: Notification) -> dict[str, Any]:
    title = f"{_MARKS[note.severity]} {note.title}"
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": _cut(title, _HEADER)}}]
    if note.text:
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _escaped(note.text, _TEXT)}})
    if facts := list(note.facts.items())[:_FACTS]:
        fields = [f"*{_escaped(name, 100)}*\n{_escaped(value, _FACT)}" for name, value in facts]
        blocks.append({"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in fields]})
    blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": _cut(_origin(note), _HEADER)}]})
    return {"text": _escaped(title, _TEXT), "blocks": blocks}


def _teams(note: Notification) -> dict[str, Any]:
    body: list[dict[str, Any]] = [
        {
            "type": "TextBlock",
            "text": _unlinked(f"{_MARKS[note.severity]} {note.title}", _HEADER),
            "size": "Large",
            "weight": "Bolder",
            "color": _COLORS[note.severity],
            "wrap": True,
        }
    ]
    if note.text:
        body.append({"type": "TextBlock", "text": _unlinked(note.text, _TEXT), "wrap": True})
    if note.facts:
        facts = [
            {"title": _unlinked(name, 100), "value": _unlinked(value, _FACT)}
            for name, value in list(note.facts.items())[:_FACTS]
        ]
        body.append({"type": "FactSet", "facts": facts})
    body.append({"type": "TextBlock", "text": _unlinked(_origin(note), _HEADER), "isSubtle": True, "wrap": True})
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "msteams": {"width": "Full"},
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def content_type_of(kind: WebhookFormat) -> str:
    """Return the content type of a webhook's body."""
    return CLOUD_EVENT if kind == "cloudevents" else "application/json; charset=utf-8"


def source_of(workspace: str) -> str:
    """Return the `source` of a workspace's CloudEvents."""
    return f"/agent-lifecycle/workspaces/{workspace}"


def _cloud_event(note: Notification) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": note.digest,
        "source": source_of(note.workspace),
        "type": note.event,
        "time": rfc3339(note.at),
        "datacontenttype": "application/json",
        "dataschema": schema_of(note.event),
        "data": _json(note)["data"],
    }


def _json(note: Notification) -> dict[str, Any]:
    data = {
        "id": note.id,
        "workspace": note.workspace,
        "severity": note.severity,
        "title": note.title,
        "text": note.text,
        "facts": dict(note.facts),
    }
    return {"type": note.event, "timestamp": rfc3339(note.at), "data": data}


_MAKERS: Mapping[WebhookFormat, Callable[[Notification], dict[str, Any]]] = {
    "slack": _slack,
    "teams": _teams,
    "json": _json,
    "cloudevents": _cloud_event,
}


def _origin(note: Notification) -> str:
    return f"{note.event} in workspace {note.workspace}, {rfc3339(note.at)}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _escaped(text: str, most: int) -> str:
    """Return the text with Slack's three markup characters escaped, so that `<!channel>` has no effect."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, entity)
    # Cut after escaping, which lengthens the text, and never inside an entity.
    short = _cut(text, most)
    head, _, tail = short.rpartition("&")
    return short if len(short) == len(text) or ";" in tail or not head else head + "\u2026"


def _unlinked(text: str, most: int) -> str:
    """Return the text without the brackets that would make a link in an Adaptive Card."""
    return _cut(text, most).replace("[", "(").replace("]", ")")
