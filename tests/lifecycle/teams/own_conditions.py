"""Conditions of handoffs as a team writes them."""

from __future__ import annotations

from lifecycle.teams.extension_conditions import condition
from lifecycle.teams.member_routing import Situation


@condition
def angry(situation: Situation) -> bool:
    """Whether the user shouts."""
    return situation.query.isupper()


@condition
def broken(situation: Situation) -> bool:
    """Fail on anything."""
    raise ValueError(situation.query)
