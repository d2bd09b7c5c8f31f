"""What running agents costs, whether it may, how good it was: spend, budgets, evaluation, performance, reports."""
