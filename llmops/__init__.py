"""What agents cost, what they may spend and how good their answers are: facts, budgets, evaluation, reports."""
