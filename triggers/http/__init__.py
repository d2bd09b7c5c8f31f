"""The HTTP API: one package per resource declares its endpoints; handlers and views are imported on first use."""
