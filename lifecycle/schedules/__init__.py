"""Schedules: runs that are submitted at set times."""
