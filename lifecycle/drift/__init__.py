"""Where declarations, records and providers differ, and doing something about it."""
