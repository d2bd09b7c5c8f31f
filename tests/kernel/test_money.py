"""Money: exact, and rounded like a ledger's."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.money import MICRO_USD_PER_USD, format_usd, to_micro_usd

amounts = st.decimals(-(10**9), 10**9, places=9)


@pytest.mark.parametrize(
    ("usd", "micro"),
    [("0", 0), ("1", 1_000_000), ("0.000001", 1), ("0.0000005", 0), ("0.0000015", 2), ("0.0000025", 2),
     ("0.00000050001", 1), ("-0.0000015", -2), ("-0.0000005", 0), ("123456789.123456", 123_456_789_123_456)],
)  # fmt: skip
def test_halves_are_rounded_to_even(usd: str, micro: int) -> None:
    """So that many small amounts do not drift upwards."""
    assert to_micro_usd(Decimal(usd)) == micro


@given(usd=amounts)
def test_rounding_is_off_by_half_a_micro_dollar_at_most(usd: Decimal) -> None:
    """In either direction, symmetrically."""
    micro = to_micro_usd(usd)

    assert abs(Decimal(micro) - usd * MICRO_USD_PER_USD) <= Decimal("0.5")
    assert to_micro_usd(-usd) == -micro


@given(micro=st.integers(-(10**15), 10**15))
def test_whole_micro_dollars_pass_through_unchanged(micro: int) -> None:
    """To dollars and back, and as text."""
    assert to_micro_usd(Decimal(micro) / MICRO_USD_PER_USD) == micro
    assert to_micro_usd(Decimal(format_usd(micro).removeprefix("$"))) == micro


@pytest.mark.parametrize(
    ("micro", "text"), [(0, "$0.000000"), (1, "$0.000001"), (1_500_000, "$1.500000"), (None, "unpriced")]
)
def test_amounts_are_shown_to_the_micro_dollar(micro: int | None, text: str) -> None:
    """An amount nobody knows is not shown as zero."""
    assert format_usd(micro) == text
