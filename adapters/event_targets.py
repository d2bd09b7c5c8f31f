"""Receivers of CloudEvents and other webhooks: Event Grid topics, Service Bus queues, or any URL.

Event Grid accepts CloudEvents with a topic's key, or with a token of the app's identity
(learn.microsoft.com/azure/event-grid/authenticate-with-microsoft-entra-id, /post-to-custom-topic). Key and token are
sent only to hosts of Event Grid.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from adapters.identity import AppIdentity
from kernel.errors import Unavailable
from lifecycle.callbacks.callback_delivery import Replies, Reply
from lifecycle.callbacks.targets import no_broker
from llmops.notifications.channels import QUEUE_SCHEME
from llmops.notifications.notification_delivery import Answer
from llmops.notifications.receiver_formats import CLOUD_EVENT

if TYPE_CHECKING:
    from adapters.webhooks import HttpWebhooks
    from lifecycle.callbacks.targets import CallbackTargets

SCOPE = "https://eventgrid.azure.net/.default"
_TOPICS = ".eventgrid.azure.net"
_SESSION = 128

Token = Callable[[], Awaitable[str]]
"""Returns a token of the app's identity for Event Grid."""


class EventTargets:
    """Checks the addresses of channels, and sends to them."""

    def __init__(
        self,
        webhooks: HttpWebhooks,
        replies: Callable[[], Replies | None],
        names: CallbackTargets,
        *,
        key: str,
        token: Token | None = None,
    ) -> None:
        """Set the senders, and Event Grid's key; without a key, a token is used, by default the app identity's."""
        self._webhooks = webhooks
        self._replies = replies
        self._names = names
        self._key = key
        self._identity = AppIdentity()
        self._token = token or self._identity_token

    async def check(self, url: str) -> None:
        """Check that a channel may have this address.

        Raises:
            InvalidInput: It may not; the error code is the reason.
        """
        if url.startswith(QUEUE_SCHEME):
            self._names.queue(url.removeprefix(QUEUE_SCHEME), "/queue")
        else:
            await self._webhooks.check(url)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send the body and return the response; for a queue, 202 once it has accepted the messages.

        Raises:
            InvalidInput: It must not be sent there.
            Unavailable: There was no response; the error code is the reason.
        """
        if url.startswith(QUEUE_SCHEME):
            await self._enqueue(self._names.queue(url.removeprefix(QUEUE_SCHEME), "/queue"), body)
            return Answer(202)
        if (urlsplit(url).hostname or "").endswith(_TOPICS):
            headers = {**headers, **await self._credentials()}
        return await self._webhooks.post(url, headers, body)

    async def aclose(self) -> None:
        """Release the connections of the app's identity."""
        await self._identity.close()

    async def _identity_token(self) -> str:
        return (await self._identity.get_token(SCOPE)).token

    async def _enqueue(self, queue: str, body: bytes) -> None:
        """Put the CloudEvents on the queue in order, one message each."""
        if (replies := self._replies()) is None:
            raise no_broker()
        found: Any = json.loads(body)
        for event in found if isinstance(found, list) else [found]:
            subject = str(event.get("subject", event["source"]))
            message = Reply(
                message_id=f"{event['source']}#{event['id']}"[-_SESSION:],
                session_id=subject[:_SESSION],
                correlation_id="",
                subject=event["type"],
                body=json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"),
                content_type=CLOUD_EVENT,
            )
            await replies.send(queue, message)

    async def _credentials(self) -> dict[str, str]:
        if self._key:
            return {"aeg-sas-key": self._key}
        from azure.core.exceptions import AzureError  # noqa: PLC0415 - few workers ever need it

        try:
            return {"authorization": f"Bearer {await self._token()}"}
        except AzureError as error:
            msg = "The app's identity was given no token for Event Grid."
            raise Unavailable(msg, code="event_grid_no_token") from error
