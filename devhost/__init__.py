"""A local Azure Functions host for Python v2-model apps: it emulates triggers; nothing in it is specific to this app."""
