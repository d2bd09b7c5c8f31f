"""What was spent: usage, prices, and answers to cost queries."""
