"""What lifecycle and llmops share: errors, ids, clock, money, settings, and the interface of table storage."""
