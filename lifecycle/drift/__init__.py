"""Drift: differences between declarations, records and providers, and plans that remove them."""
