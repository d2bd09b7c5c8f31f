"""Budgets: limits on tokens, cost, calls and time; reservations; and what happens at a limit."""
