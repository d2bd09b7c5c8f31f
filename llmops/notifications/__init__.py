"""Notifications to people and other systems: channels, the outbox, and deliveries by webhook, queue or email."""
