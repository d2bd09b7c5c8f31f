"""A local Azure Functions host for Python v2-model apps: it emulates triggers; none of it is specific to an app."""
