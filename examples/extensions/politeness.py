"""A check of answers: how good one is, from 0 to 1, and why."""

from lifecycle.extensions import check

_POLITE = ("please", "thank", "sorry", "glad", "happy to")


@check
def polite(response: str) -> tuple[float, str]:
    """Score an answer by whether it has a friendly word."""
    friendly = any(word in response.lower() for word in _POLITE)
    return (1.0, "") if friendly else (0.3, "It has no friendly word.")
