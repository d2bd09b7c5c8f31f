"""Whose workspaces a message on the queue may name: that of its signature, or those that its queue is pinned to.

Whoever may send to a queue can write any workspace into a message's body. So a setting says which workspaces messages
of a queue, or of a producer there, may name unsigned, and a signature says that the sender holds the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kernel.errors import InvalidInput

SIGNATURE = "workspace-signature"
"""Application property: `v1=` and the signature in hexadecimal."""

_RULE = re.compile(r"(?P<queue>[^/=\s,]+)(?:/(?P<subject>[^=\s,]+))?=(?P<names>[^=\s]+)")
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Origin:
    """What a message says of where it comes from, beside its body.

    Attributes:
        queue: The queue that it came by.
        subject: Its subject, as the producer set it; empty for none.
        message_id: Its MessageId; empty for none.
        signature: Its application property SIGNATURE; empty for none.
    """

    queue: str
    subject: str = ""
    message_id: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class QueuePin:
    """The workspaces that unsigned messages of a queue may name; of one subject only, where it says one."""

    queue: str
    subject: str
    workspaces: frozenset[str]


def parse_queue_pins(text: str) -> Sequence[QueuePin] | None:
    """Return the pins of a setting like `agent-runs=acme,contoso agent-runs/billing=finance`; None for no restriction.

    Raises:
        ValueError: It is no such text.
    """
    if text.strip() == _ANY:
        return None
    pins: list[QueuePin] = []
    for rule in text.split():
        found = _RULE.fullmatch(rule)
        if found is None:
            msg = "rules are QUEUE=WORKSPACE,… or QUEUE/SUBJECT=WORKSPACE,…, with spaces between them; * for any"
            raise ValueError(msg)
        pins.append(QueuePin(found["queue"], found["subject"] or "", frozenset(found["names"].split(","))))
    return pins


def sign(key: str, message_id: str, workspace: str, body: bytes) -> str:
    """Return the signature: HMAC-SHA256 (RFC 2104) over message id, workspace and the body's SHA-256, in lines."""
    text = "\n".join((message_id, workspace, hashlib.sha256(body).hexdigest()))
    return "v1=" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Provenance:
    """What messages may name.

    Attributes:
        key: What signatures are made with; empty where none are.
        pins: What unsigned messages may name; None for anything.
    """

    key: str = field(default="", repr=False)
    pins: Sequence[QueuePin] | None = None

    def check(self, origin: Origin, workspace: str, body: bytes) -> None:
        """Check that a message may name the workspace that its body names.

        Raises:
            InvalidInput: Its signature is wrong (code `invalid_signature`), or it is unsigned and its queue is not
                pinned to the workspace (code `workspace_not_allowed`).
        """
        if origin.signature and self.key:
            made = sign(self.key, origin.message_id, workspace, body)
            if not hmac.compare_digest(made.encode(), origin.signature.encode(errors="replace")):
                raise InvalidInput("The message's signature does not fit it.", code="invalid_signature")
            return
        if self.pins is not None and not any(_fits(pin, origin, workspace) for pin in self.pins):
            msg = "The queue that the message came by is not pinned to the workspace that it names; sign it, or pin it."
            raise InvalidInput(msg, code="workspace_not_allowed")


def _fits(pin: QueuePin, origin: Origin, workspace: str) -> bool:
    if pin.queue.casefold() != origin.queue.casefold() or pin.subject not in ("", origin.subject):
        return False
    return workspace in pin.workspaces or _ANY in pin.workspaces
