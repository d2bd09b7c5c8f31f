"""Batches: many run requests posted at once, submitted a few at a time with low priority, within a cost cap."""
