"""The parts of notifications."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from bootstrap.parts.foundation import Foundation

if TYPE_CHECKING:
    from adapters.email_azure import AzureMailer
    from adapters.email_smtp import SmtpMailer
    from adapters.webhooks import HttpWebhooks
    from lifecycle.approvals.links import ApprovalLinks
    from lifecycle.approvals.store import ApprovalStore
    from llmops.notifications.channels import ChannelStore, EmailPolicy
    from llmops.notifications.delivery import NotificationDelivery
    from llmops.notifications.history import DeliveryHistory
    from llmops.notifications.outbox import Outbox


class NotificationParts(Foundation):
    """Makes what tells people and other systems what happened."""

    @cached_property
    def webhooks(self) -> HttpWebhooks:
        """Sends webhooks."""
        from adapters.webhooks import HttpWebhooks

        return HttpWebhooks(allow_private=self.settings.webhooks_allow_private)

    @cached_property
    def mailer(self) -> SmtpMailer | AzureMailer | None:
        """Sends email; None where no way to is set."""
        from bootstrap.email import make_mailer

        return make_mailer(self.settings)

    @property
    def _email_policy(self) -> EmailPolicy | None:
        from llmops.notifications.channels import EmailPolicy

        domains = (domain.strip().lower() for domain in self.settings.email_domains.split(","))
        return EmailPolicy(tuple(filter(None, domains))) if self.settings.email_from else None

    @cached_property
    def channels(self) -> ChannelStore:
        """Where notifications go."""
        from llmops.notifications.channels import ChannelStore

        return ChannelStore(self.tables, self.webhooks, self.clock, self._email_policy)

    @cached_property
    def outbox(self) -> Outbox:
        """Takes notifications."""
        from llmops.notifications.outbox import Outbox

        return Outbox(self.tables, self.clock)

    @cached_property
    def deliveries(self) -> DeliveryHistory:
        """What became of notifications."""
        from llmops.notifications.history import DeliveryHistory

        return DeliveryHistory(self.tables)

    @cached_property
    def courier(self) -> NotificationDelivery:
        """Delivers notifications."""
        from llmops.notifications.delivery import NotificationDelivery

        return NotificationDelivery(
            self.outbox,
            self.channels,
            self.deliveries,
            self.webhooks,
            self.clock,
            self.mailer,
            self.approval_links.completed,
        )

    @cached_property
    def approvals(self) -> ApprovalStore:
        """What waits for a decision, and what was decided."""
        from lifecycle.approvals.store import ApprovalStore

        return ApprovalStore(self.tables)

    @cached_property
    def approval_links(self) -> ApprovalLinks:
        """Links that decide approvals."""
        from lifecycle.approvals.links import ApprovalLinks, LinkPolicy

        policy = LinkPolicy(self.settings.approval_link_key.get_secret_value(), self.settings.public_url)
        return ApprovalLinks(self.approvals, policy, self.clock)
