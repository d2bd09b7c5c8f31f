"""Money as whole millionths of a USD (micro-USD), never floats."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

MICRO_USD_PER_USD = 1_000_000


def to_micro_usd(usd: Decimal) -> int:
    """Return the amount in micro-USD, rounded half to even so that sums do not drift."""
    return int((usd * MICRO_USD_PER_USD).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))


def format_usd(micro_usd: int | None) -> str:
    """Return the amount as text for people, exact to the micro-dollar; `unpriced` for None."""
    if micro_usd is None:
        return "unpriced"
    return f"${Decimal(micro_usd) / MICRO_USD_PER_USD:.6f}"
