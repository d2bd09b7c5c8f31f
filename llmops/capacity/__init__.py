"""Capacity: pools with limits that hold across workers, what is measured of them, and how many instances they need."""
