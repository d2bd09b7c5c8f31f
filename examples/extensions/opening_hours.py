"""The tool of docs/quickstart.md: the smallest possible one."""

from lifecycle.extensions import tool


@tool
def opening_hours(weekday: str) -> str:
    """Look up when the shop is open, by the English name of the weekday."""
    return "closed" if weekday.lower() == "sunday" else "9:00 to 18:00"
