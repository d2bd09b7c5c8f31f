"""Which workspaces a queue message may name: that of its signature, or those that its queue is pinned to.

Any sender of a queue can write any workspace into a message. So a setting lists the workspaces that unsigned messages
of a queue, or of a subject there, may name, and a signature proves that the sender has the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import field

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

SIGNATURE = "workspace-signature"
"""Application property with the signature: `v1=` and hexadecimal digits."""

_RULE = re.compile(r"(?P<queue>[^/=\s,]+)(?:/(?P<subject>[^=\s,]+))?=(?P<names>[^=\s]+)")
_ANY = "*"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a message comes from, by its metadata.

    Attributes:
        queue: The queue that it came by.
        subject: Its subject, set by the producer; empty for none.
        message_id: Its MessageId; empty for none.
        signature: Its application property `workspace-signature`; empty for none.
    """

    queue: str
    subject: str = ""
    message_id: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class QueuePin:
    """The workspaces that unsigned messages of a queue, and optionally of one subject, may name."""

    queue: str
    subject: str
    workspaces: frozenset[str]


def parse_queue_pins(text: str) -> Sequence[QueuePin] | None:
    """Return the pins of a setting like `agent-runs=acme,contoso agent-runs/billing=finance`; None for no limit.

    Raises:
        ValueError: It is not valid.
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
    """Return the signature: HMAC-SHA256 (RFC 2104) over the lines message id, workspace, SHA-256 of the body."""
    text = "\n".join((message_id, workspace, hashlib.sha256(body).hexdigest()))
    return "v1=" + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Provenance:
    """Checks which workspaces messages may name.

    Attributes:
        key: Key of signatures; empty if none are accepted.
        pins: Pins of queues; None for no restriction.
    """

    key: str = field(default="", repr=False)
    pins: Sequence[QueuePin] | None = None

    def check(self, origin: Origin, workspace: str, body: bytes) -> None:
        """Check that a message may name the workspace in its body.

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
