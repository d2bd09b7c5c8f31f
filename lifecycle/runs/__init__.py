"""Queries and their one answer: accepting, queueing, running and recording them."""
