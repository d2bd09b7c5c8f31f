"""Spend: token usage, prices, and cost queries."""
