"""Durable entities: the JSON protocol of azure-functions-durable 1.x, a store in SQLite, and its HTTP routes."""
