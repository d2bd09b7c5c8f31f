"""A notification as an email: plain text, with HTML as the alternative.

Nothing in a notification can become a header or markup: control characters are removed from the subject, long lines are
folded by the standard library's policy, and texts in HTML are escaped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from html import escape
from typing import TYPE_CHECKING, Protocol

from kernel.clock import rfc3339
from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.notifications.notification import Notification

MAX_RECIPIENTS = 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SUBJECT = 200
_TITLE, _TEXT, _FACTS = 500, 10_000, 20
_ADDRESS = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)


@dataclass(frozen=True, slots=True)
class Email:
    """An email.

    Attributes:
        id: Unique; a repeated email has the same id, by which receivers can recognise it.
        to: Addresses.
        subject: One line.
        text: The plain text.
        html: The same as HTML.
        at: When it is sent, aware UTC.
    """

    id: str
    to: tuple[str, ...]
    subject: str
    text: str
    html: str
    at: datetime


class Mailer(Protocol):
    """Sends email."""

    async def send(self, email: Email) -> int:
        """Send the email and return the SMTP reply code.

        Raises:
            Unavailable: It was not sent, and may be retried; the error code says why.
            InvalidInput: It can never be sent; the error code says why.
        """
        ...


def check_recipients(to: Sequence[str], domains: Sequence[str]) -> None:
    """Check that the recipients are addresses, and of one of the domains if any are given.

    Raises:
        InvalidInput: `invalid_recipients`: some are not; the error lists which.
    """
    if not 1 <= len(to) <= MAX_RECIPIENTS:
        rule = f"1 to {MAX_RECIPIENTS} addresses"
        raise InvalidInput(f"An email channel has {rule}.", code="invalid_recipients", fields={"/to": rule})
    wrong = {f"/to/{number}": why for number, address in enumerate(to) if (why := _wrong(address, domains))}
    if wrong:
        raise InvalidInput("Not all recipients can be sent to.", code="invalid_recipients", fields=wrong)


def email_of(note: Notification, ident: str, to: tuple[str, ...], at: datetime) -> Email:
    """Return the notification as an email."""
    subject = f"[{note.severity}] {note.title}"
    origin = f"{note.event} in workspace {note.workspace}, {rfc3339(note.at)}"
    facts = list(note.facts.items())[:_FACTS]
    title, body = note.title[:_TITLE], note.text[:_TEXT]
    lines = [title, "", body, "", *(f"{name}: {value}" for name, value in facts), "", origin, ""]
    rows = "".join(f"<tr><th align=left>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts)
    html = (
        f"<!doctype html><html><body><h2>{escape(title)}</h2><p>{escape(body)}</p>"
        f"<table cellpadding=4>{rows}</table><p><small>{escape(origin)}</small></p></body></html>"
    )
    return Email(ident, to, _one_line(subject), "\n".join(_printable(line) for line in lines), html, at)


def message_of(email: Email, sender: str) -> EmailMessage:
    """Return the email as a message for SMTP."""
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # not every server accepts longer ones
    message["From"] = sender
    message["To"] = ", ".join(email.to)
    message["Subject"] = email.subject
    message["Date"] = format_datetime(email.at)
    message["Message-ID"] = f"<{email.id}@{sender.rsplit('@', 1)[-1]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no automatic replies such as absence notes
    message.set_content(email.text)
    message.add_alternative(email.html, subtype="html")
    return message


def _one_line(text: str) -> str:
    line = _CONTROL.sub(" ", text).strip()
    return line if len(line) <= _SUBJECT else line[: _SUBJECT - 1] + "\u2026"


def _printable(line: str) -> str:
    return "\n".join(_CONTROL.sub(" ", part) for part in line.splitlines())


def _wrong(address: str, domains: Sequence[str]) -> str:
    if not _ADDRESS.fullmatch(address):
        return "is not an email address"
    if domains and address.rsplit("@", 1)[-1].lower() not in domains:
        return "is in none of the domains that the setting EMAIL_DOMAINS allows"
    return ""
