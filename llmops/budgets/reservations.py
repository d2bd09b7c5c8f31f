"""Reservations as values: how they are asked for, made and settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from llmops.budgets.rules import Amounts, AppliedLimit, CostAttribution, Counter, Refusal
from llmops.facts.model import Call


@dataclass(frozen=True, slots=True)
class Intent:
    """A model call that is to be made: who is charged, in which attempt at the run, and the call at its estimate."""

    who: CostAttribution
    attempt: int
    call: Call

    @property
    def key(self) -> str:
        """The row key of its reservation."""
        return f"held!{self.who.run_id}!{self.attempt:04d}!{self.call.number:04d}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation, as it is stored.

    Attributes:
        intent: The model call that it is for, at its estimate.
        amounts: What is reserved.
        counters: In which counters.
        until: When it expires unless it is settled.
    """

    intent: Intent
    amounts: Amounts
    counters: tuple[str, ...]
    until: datetime

    @property
    def key(self) -> str:
        """Its row key."""
        return self.intent.key


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """A reservation as it is asked for: the call at its estimate, what it may take, what it has to keep, until when."""

    intent: Intent
    need: Amounts
    limits: Sequence[AppliedLimit]
    until: datetime

    @property
    def counters(self) -> tuple[str, ...]:
        """The counters of its limits, each once."""
        return tuple(dict.fromkeys(each.counter for each in self.limits))


@dataclass(frozen=True, slots=True)
class Settlement:
    """A reservation that ends: what of it was spent."""

    hold: Reservation
    spent: Amounts


@dataclass(frozen=True, slots=True)
class ReservationResult:
    """What came of a change: the reservation, or why there is none; and the counters after it."""

    hold: Reservation | None
    refusals: Sequence[Refusal]
    counters: Mapping[str, Counter]
