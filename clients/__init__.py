"""Clients of the app's API, made from its own description."""
