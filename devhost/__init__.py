"""A local Azure Functions host for Python v2-model apps: it emulates triggers and knows nothing of the app."""
