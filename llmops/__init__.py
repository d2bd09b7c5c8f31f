"""What running agents costs: usage, prices, the ledger, cost queries and reports."""
