"""Sending email by Azure Communication Services.

The service accepts an email and sends it later; its state is polled for a while. Each email has an operation id, by
which the service recognises one that is submitted again after a lost response.
"""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, Self

from kernel.errors import AppError, InvalidInput, Unavailable

if TYPE_CHECKING:
    from azure.communication.email.aio import EmailClient
    from azure.core.exceptions import HttpResponseError

    from adapters.identity import AppIdentity
    from llmops.notifications.email import Email

_ASKED_FOR_S = 40.0
"""How long the state of an email is polled, in seconds; one still being sent then counts as sent."""
_WHOLE_S = 80.0
"""Timeout of sending one email, in seconds; shorter than the claim on a delivery."""
_ACCEPTED = 202
_MEND = (401, 403, 404, 408, 409, 425, 429)
"""Statuses for which a retry may help: a role or resource not effective yet, or throttling."""


class AzureMailer:
    """Sends email by Azure Communication Services. The SDK is imported when the first email is sent."""

    def __init__(
        self,
        sender: str,
        *,
        connection: str = "",
        endpoint: str = "",
        identity: AppIdentity | None = None,
        ask_every_s: float = 2.0,
    ) -> None:
        """Take what connects; nothing is connected yet.

        Args:
            sender: The address it is from, one of the resource's verified domains.
            connection: Connection string of the resource; empty to use the identity.
            endpoint: Endpoint of the resource to reach with the identity.
            identity: The app's identity.
            ask_every_s: How often it is asked what came of an email.
        """
        self._sender = sender
        self._connection = connection
        self._endpoint = endpoint
        self._identity = identity
        self._ask_every_s = ask_every_s
        self._client: EmailClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def send(self, email: Email) -> int:
        """Send the email and return 202 once the service has accepted it.

        Raises:
            Unavailable: `email_unreachable`, `email_timeout` or `email_http_…`: it may be retried.
            InvalidInput: `email_http_…` or `email_failed`: the service could not send it, and a retry does not help.
        """
        from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - see the class

        try:
            async with asyncio.timeout(_WHOLE_S):
                await self._send(email)
        except TimeoutError:
            raise Unavailable("The email service did not answer in time.", code="email_timeout") from None
        except HttpResponseError as error:
            raise _failure(error) from None
        except AzureError:
            raise Unavailable("The email service could not be reached.", code="email_unreachable") from None
        return _ACCEPTED

    async def aclose(self) -> None:
        """Close connections."""
        if self._client is not None:
            await self._client.close()
        if self._identity is not None:
            await self._identity.close()

    async def _send(self, email: Email) -> None:
        message: dict[str, Any] = {
            "senderAddress": self._sender,
            "recipients": {"to": [{"address": address} for address in email.to]},
            "content": {"subject": email.subject, "plainText": email.text, "html": email.html},
            "headers": {"Auto-Submitted": "auto-generated"},
        }
        ident = str(uuid.uuid5(uuid.NAMESPACE_URL, email.id))
        poller = await self._connected().begin_send(
            message,  # pyright: ignore[reportArgumentType] - a message as JSON
            operation_id=ident,
            polling_interval=self._ask_every_s,
        )
        try:
            async with asyncio.timeout(_ASKED_FOR_S):
                await poller.result()
        except TimeoutError:
            return  # the service has accepted it, and goes on trying

    def _connected(self) -> EmailClient:
        if self._client is None:
            from azure.communication.email.aio import EmailClient  # noqa: PLC0415 - see the class

            # The outbox makes its own retries, which users can see.
            options: dict[str, Any] = {"retry_total": 0}
            if self._connection:
                from azure.core.credentials import AzureKeyCredential  # noqa: PLC0415 - see the class

                # The SDK's own parser turns every endpoint into https, which excludes test servers.
                parts = dict(part.split("=", 1) for part in self._connection.split(";") if "=" in part)
                named = {name.strip().lower(): value.strip() for name, value in parts.items()}
                key = AzureKeyCredential(named.get("accesskey", ""))
                self._client = EmailClient(named.get("endpoint", ""), key, **options)
            elif self._identity is not None:
                self._client = EmailClient(self._endpoint, self._identity, **options)
            else:
                msg = "a connection string or an identity is needed"
                raise ValueError(msg)
        return self._client


def _failure(error: HttpResponseError) -> AppError:
    """Return the error of a refusal, without the service's text, which may quote addresses."""
    status = error.status_code
    if status is None or 200 <= status < 300:
        # The operation itself failed: a suppressed address, or a sender that is not verified.
        return InvalidInput("The email service could not send it.", code="email_failed")
    code, detail = f"email_http_{status}", f"The email service answered {status}."
    if status not in _MEND and 400 <= status < 500:
        return InvalidInput(detail, code=code)
    after = str(getattr(error.response, "headers", {}).get("retry-after", ""))
    return Unavailable(detail, code=code, retry_after_s=float(after) if after.isdigit() and len(after) <= 9 else None)
