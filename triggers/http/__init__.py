"""The HTTP API: a package per resource declares its endpoints; handlers and views are loaded on first use."""
