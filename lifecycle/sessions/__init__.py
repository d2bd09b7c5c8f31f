"""Conversations: their state, history and events, where they are found and when they end."""
