"""What may be spent: budgets, reservations, and what happens at a limit."""
