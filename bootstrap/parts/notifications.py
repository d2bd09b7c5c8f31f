"""Composition of notifications, and of the mailer that the settings select.

Nothing is connected to, and only what is used is imported.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.email_azure import AzureMailer
    from adapters.email_smtp import SmtpMailer
    from adapters.event_targets import EventTargets
    from adapters.service_bus_replies import ServiceBusReplies
    from adapters.webhooks import HttpWebhooks
    from bootstrap.parts.core import Core
    from bootstrap.parts.extensions import ExtensionServices
    from kernel.settings import Settings
    from lifecycle.callbacks.targets import CallbackTargets
    from llmops.notifications.channels import ChannelStore, EmailPolicy
    from llmops.notifications.delivery_history import DeliveryHistory
    from llmops.notifications.outbox import Outbox


def make_mailer(settings: Settings) -> SmtpMailer | AzureMailer | None:
    """Return the mailer; None where no sender is set."""
    if not settings.email_from:
        return None
    if settings.smtp_host:
        from adapters.email_smtp import SmtpMailer, SmtpServer

        password = settings.smtp_password.get_secret_value()
        server = SmtpServer(
            settings.smtp_host, settings.smtp_port, settings.smtp_security, settings.smtp_username, password
        )
        return SmtpMailer(server, settings.email_from)
    from adapters.email_azure import AzureMailer
    from adapters.identity import AppIdentity

    connection = settings.email_connection.get_secret_value()
    identity = None if connection else AppIdentity()
    return AzureMailer(settings.email_from, connection=connection, endpoint=settings.email_endpoint, identity=identity)


@dataclass(eq=False)
class NotificationServices:
    """Builds channels, the outbox of notifications, and the senders to external receivers."""

    _core: Core
    _extensions: ExtensionServices

    @cached_property
    def webhooks(self) -> HttpWebhooks:
        """Sends webhooks."""
        from adapters.webhooks import HttpWebhooks

        return self._core.closes(HttpWebhooks(allow_private=self._core.settings.webhooks_allow_private))

    @cached_property
    def replies(self) -> ServiceBusReplies | None:
        """Sends messages to reply queues; None where no Service Bus namespace is set."""
        from bootstrap.azure import azure_replies

        replies = azure_replies(self._core.settings)
        return self._core.closes(replies) if replies else None

    @cached_property
    def targets(self) -> CallbackTargets:
        """Checks where callbacks and events may be sent."""
        from lifecycle.callbacks.targets import CallbackTargets

        queues = [name.strip() for name in self._core.settings.reply_queues.split(",") if name.strip()]
        return CallbackTargets(self.webhooks, self._extensions.setting, queues)

    @cached_property
    def event_targets(self) -> EventTargets:
        """Sends to channels: webhooks, Event Grid topics or queues."""
        from adapters.event_targets import EventTargets

        key = self._core.settings.event_grid_key.get_secret_value()
        return self._core.closes(EventTargets(self.webhooks, lambda: self.replies, self.targets, key=key))

    @cached_property
    def mailer(self) -> SmtpMailer | AzureMailer | None:
        """Sends email; None where it is not configured."""
        mailer = make_mailer(self._core.settings)
        return self._core.closes(mailer) if mailer else None

    @property
    def _email_policy(self) -> EmailPolicy | None:
        from llmops.notifications.channels import EmailPolicy

        domains = (domain.strip().lower() for domain in self._core.settings.email_domains.split(","))
        return EmailPolicy(tuple(filter(None, domains))) if self._core.settings.email_from else None

    @cached_property
    def channels(self) -> ChannelStore:
        """Stores channels."""
        from lifecycle.events.catalogue import CATALOGUE
        from llmops.notifications.channels import ChannelStore

        return ChannelStore(self._core.tables, self.event_targets, self._core.clock, self._email_policy, CATALOGUE)

    @cached_property
    def outbox(self) -> Outbox:
        """Stores notifications for delivery."""
        from llmops.notifications.outbox import Outbox

        return Outbox(self._core.tables, self._core.clock)

    @cached_property
    def deliveries(self) -> DeliveryHistory:
        """Stores the delivery history."""
        from llmops.notifications.delivery_history import DeliveryHistory

        return DeliveryHistory(self._core.tables)
