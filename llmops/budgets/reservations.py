"""Reservations as values: the request, the reservation, and its settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from kernel.lazy_dataclass import dataclass
from llmops.budgets.budget_rules import Amounts, AppliedLimit, CostAttribution, Counter, Refusal
from llmops.facts.attempt_fact import Call


@dataclass(frozen=True, slots=True)
class Intent:
    """A model call to be made: the account charged, the attempt, and the call at its estimate."""

    who: CostAttribution
    attempt: int
    call: Call

    @property
    def key(self) -> str:
        """The row key of the call's reservation."""
        return f"held!{self.who.run_id}!{self.attempt:04d}!{self.call.number:04d}"


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation, as it is stored.

    Attributes:
        intent: The model call that it is for, at its estimate.
        amounts: What is reserved.
        counters: Keys of the counters it is reserved in.
        until: When it expires unless it is settled, aware UTC.
    """

    intent: Intent
    amounts: Amounts
    counters: tuple[str, ...]
    until: datetime

    @property
    def key(self) -> str:
        """The row key of the reservation."""
        return self.intent.key


@dataclass(frozen=True, slots=True)
class ReservationRequest:
    """A request for a reservation: the call at its estimate, its amounts, the limits that apply, and its expiry."""

    intent: Intent
    need: Amounts
    limits: Sequence[AppliedLimit]
    until: datetime

    @property
    def counters(self) -> tuple[str, ...]:
        """The keys of the limits' counters, without duplicates."""
        return tuple(dict.fromkeys(each.counter for each in self.limits))


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a reservation: what was spent of it."""

    hold: Reservation
    spent: Amounts


@dataclass(frozen=True, slots=True)
class ReservationResult:
    """The outcome of a change: the reservation or the refusals, and the counters after it."""

    hold: Reservation | None
    refusals: Sequence[Refusal]
    counters: Mapping[str, Counter]
