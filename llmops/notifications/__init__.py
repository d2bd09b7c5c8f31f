"""Telling people and other systems what happened: channels, the outbox, and deliveries by webhook."""
