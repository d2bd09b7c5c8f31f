"""Sending email by SMTP, through the standard library's client in a thread.

The connection is encrypted before anything confidential is sent, or it is not used: `starttls` and `tls` check the
server's certificate and name. `none` is for a server on the same machine.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from typing import Literal

from kernel.errors import AppError, InvalidInput, Unavailable
from kernel.lazy_dataclass import dataclass
from llmops.notifications.email import Email, message_of

Security = Literal["starttls", "tls", "none"]

_TIMEOUT_S = 15.0
"""Timeout of each step of the exchange, in seconds."""
_WHOLE_S = 90.0
"""Timeout of sending one email, in seconds; shorter than the claim on a delivery."""


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The mail server.

    Attributes:
        host: Its name.
        port: Its port, usually 587 for `starttls` and 465 for `tls`.
        security: How the connection is encrypted.
        username: User to sign in as; empty for none.
        password: Password of that user.
    """

    host: str
    port: int
    security: Security = "starttls"
    username: str = ""
    password: str = ""


class SmtpMailer:
    """Sends email by SMTP.

    Attributes:
        sender: The address it is from.
    """

    def __init__(
        self, server: SmtpServer, sender: str, *, context: ssl.SSLContext | None = None, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._server = server
        self.sender = sender
        self._context = context
        self._timeout_s = timeout_s

    async def send(self, email: Email) -> int:
        """Send the email and return the server's last reply code.

        Raises:
            Unavailable: `smtp_unreachable`, `smtp_timeout`, `smtp_tls_failed`, `smtp_sign_in_failed` or `smtp_4xx`: it
                may be retried.
            InvalidInput: `smtp_5xx` or `smtp_recipients_refused`: a retry does not help.
        """
        message = message_of(email, self.sender)
        try:
            async with asyncio.timeout(_WHOLE_S):
                return await asyncio.to_thread(self._send, message.as_bytes(), email.to)
        except TimeoutError:
            raise Unavailable("The mail server did not answer in time.", code="smtp_timeout") from None
        except (smtplib.SMTPException, OSError) as error:
            raise _failure(error) from None

    async def aclose(self) -> None:
        """Do nothing: no connection is kept between emails."""

    def _send(self, message: bytes, to: tuple[str, ...]) -> int:
        with self._connected() as client:
            if self._server.username:
                client.login(self._server.username, self._server.password)
            refused = client.sendmail(self.sender, to, message)
        if refused:
            # The others have received it; a retry would send it to them twice.
            msg = f"{len(refused)} of {len(to)} recipients were refused."
            raise _PartlyRefused(msg)
        return 250

    def _connected(self) -> smtplib.SMTP:
        server = self._server
        if server.security == "tls":
            context = self._context or ssl.create_default_context()
            return smtplib.SMTP_SSL(server.host, server.port, timeout=self._timeout_s, context=context)
        client = smtplib.SMTP(server.host, server.port, timeout=self._timeout_s)
        if server.security == "starttls":
            try:
                client.starttls(context=self._context or ssl.create_default_context())
            except BaseException:
                client.close()
                raise
        return client


class _PartlyRefused(smtplib.SMTPException):
    """Some recipients were refused, and the others have received the email."""


def _failure(error: smtplib.SMTPException | OSError) -> AppError:
    """Return the error of a failed exchange, without the server's text, which may quote addresses."""
    if isinstance(error, _PartlyRefused):
        return InvalidInput(str(error), code="smtp_recipients_refused")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return _replied(max(codes, default=550) if all(code >= 500 for code in codes) else 450)
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return Unavailable("The mail server does not let the app sign in.", code="smtp_sign_in_failed")
    if isinstance(error, ssl.SSLError | smtplib.SMTPNotSupportedError):
        return Unavailable("No encrypted connection to the mail server could be made.", code="smtp_tls_failed")
    if isinstance(error, TimeoutError):
        return Unavailable("The mail server did not answer in time.", code="smtp_timeout")
    if isinstance(error, smtplib.SMTPResponseException) and error.smtp_code >= 400:
        return _replied(error.smtp_code)
    return Unavailable("The mail server could not be reached.", code="smtp_unreachable")


def _replied(code: int) -> AppError:
    detail = f"The mail server replied {code}."
    return InvalidInput(detail, code=f"smtp_{code}") if code >= 500 else Unavailable(detail, code=f"smtp_{code}")
