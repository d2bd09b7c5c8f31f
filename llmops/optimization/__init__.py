"""Savings: what facts say could cost less, and what recorded history would have been under other terms."""
