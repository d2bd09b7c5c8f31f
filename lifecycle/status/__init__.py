"""Health of the system, and analytics of the last days."""
