"""Capacity: pools with limits shared by all workers, their measured use, and how many instances are needed."""
