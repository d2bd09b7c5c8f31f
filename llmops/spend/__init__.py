"""What was spent: usage, prices, the ledger, its sums, cost queries and reports."""
