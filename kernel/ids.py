"""Identifiers: their format and creation; all are safe as storage keys."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

import uuid6

from kernel.errors import InvalidInput

MODEL_NAME = r"[A-Za-z0-9@~/][A-Za-z0-9_.:/@~+-]{0,127}"
"""Pattern of the names of models and deployments at providers: `gpt-5-mini`, `@cf/meta/…`,
`claude-3-5-sonnet@20240620`, `/models/x.gguf`, `~anthropic/…`; also of tools' rates: `tool:web_search`."""

_AGENT = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_WORKSPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_TEXT = re.compile(r"(?![~ ]|\.{1,2}\Z)[^!%]*(?<! )")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_KEYS = uuid.UUID("6f0f6a3e-6f2d-5b52-9d0b-0f1c0a7f4c11")  # namespace of run ids made from idempotency keys
_SESSIONS = uuid.UUID("0b8d5f0e-8a4c-5f43-9a57-3f5a8a3c3d52")  # namespace of ids of sessions that a run starts


def new_id() -> str:
    """Return a new UUIDv7 (RFC 9562 §5.7): unique, and ordered by the time it was made."""
    return str(uuid6.uuid7())


def agent_name(text: str) -> str:
    """Return the name if it is a valid agent name: 1-63 of a-z, 0-9, `_`, `-`, with alphanumeric ends."""
    return _checked(_AGENT, text, "agent name", "1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends")


def team_name(text: str) -> str:
    """Return the name if it is a valid team name: 1-63 of a-z, 0-9, `_`, `-`, with alphanumeric ends."""
    return _checked(_AGENT, text, "team name", "1-63 characters of a-z, 0-9, '_' and '-', alphanumeric at both ends")


def workspace_name(text: str) -> str:
    """Return the name if it is a valid workspace: 1-63 of a-z, 0-9, `-`, with alphanumeric ends."""
    return _checked(_WORKSPACE, text, "workspace", "1-63 characters of a-z, 0-9 and '-', alphanumeric at both ends")


def session_id(text: str) -> str:
    """Return the id if it is a valid session id: a UUIDv7 made by this app, or a caller's text (`is_text`)."""
    return _text_id(text, "session id")


def user_id(text: str) -> str:
    """Return the id if it is a valid user id: any text that `is_text` allows."""
    return _text_id(text, "user id")


def is_text(text: str) -> bool:
    """Return whether a text can be a session's or user's id. Ids are compared exactly.

    It has 1-128 characters, like a Service Bus SessionId. It has no control or other unprintable characters, no `!`,
    which separates ids in keys, and no `%`, as hosts give a `/` in a route as `%2F`. It does not begin with `~`, which
    ends ranges of keys, has no space at its ends, and is not `.` or `..`, which URLs resolve.
    """
    return 1 <= len(text) <= 128 and text.isprintable() and _TEXT.fullmatch(text) is not None


def run_id(workspace: str, key: str) -> str:
    """Return the run id for a caller's idempotency key.

    A UUID is its own run id; any other key gives a UUIDv5 (RFC 9562 §5.5) that depends on the workspace.

    Raises:
        InvalidInput: The key is empty, longer than 255 characters or not printable ASCII.
    """
    if _UUID.fullmatch(key):
        return key.lower()
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        msg = "An idempotency key is 1-255 printable ASCII characters."
        raise InvalidInput(msg, code="invalid_idempotency_key")
    return str(uuid.uuid5(_KEYS, f"{workspace}:{key}"))


def session_of_run(workspace: str, run_id: str) -> str:
    """Return the id of the session that a run without a session starts; always the same for a run."""
    return str(uuid.uuid5(_SESSIONS, f"{workspace}:{run_id}"))


def session_of_key(workspace: str, key: str) -> str:
    """Return the id of the session that is started with a caller's idempotency key; no run's session has it.

    Raises:
        InvalidInput: The key is not valid, as for `run_id`.
    """
    return session_of_run(workspace, f"session {run_id(workspace, key)}")


def parse_run_id(text: str) -> str:
    """Return the canonical form of a run id.

    Raises:
        InvalidInput: It is not a UUID (code `invalid_run_id`).
    """
    if not _UUID.fullmatch(text):
        raise InvalidInput("A run id is a UUID.", code="invalid_run_id")
    return text.lower()


def newest_first_key(text: str) -> str:
    """Return the text if it has the form of `newest_first`.

    Raises:
        InvalidInput: It has not (code `invalid_next`).
    """
    prefix, _, ident = text.partition("!")
    if not re.fullmatch(r"[0-9a-f]{12}", prefix):
        raise InvalidInput("'next' is not a cursor of this list.", code="invalid_next", fields={"next": "unknown"})
    return f"{prefix}!{session_id(ident)}"


def newest_first(created: datetime, ident: str) -> str:
    """Return a row key that sorts newest first: the complement of the 48-bit creation time in ms, then the id."""
    ms = int(created.timestamp() * 1000)
    return f"{(1 << 48) - 1 - ms:012x}!{ident}"


def created_of(key: str) -> datetime:
    """Return the time, to the millisecond, that `newest_first` made the key of."""
    return datetime.fromtimestamp(((1 << 48) - 1 - int(key.partition("!")[0], 16)) / 1000, UTC)


def _text_id(text: str, what: str) -> str:
    if not is_text(text):
        rule = (
            "1-128 printable characters other than '!' and '%', no '~' first, no space at either end, not '.' or '..'"
        )
        raise InvalidInput(f"Not a valid {what}: use {rule}.", code=f"invalid_{what.replace(' ', '_')}")
    return text


def _checked(pattern: re.Pattern[str], text: str, what: str, rule: str) -> str:
    if not pattern.fullmatch(text):
        msg = f"Not a valid {what}: use {rule}."
        raise InvalidInput(msg, code=f"invalid_{what.replace(' ', '_')}")
    return text
