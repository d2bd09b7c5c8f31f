"""What deployments were recently sent, by minute, and the quota they report as remaining.

Each worker keeps its own account and publishes it; a deployment's total in a minute is the sum of all accounts. What a
worker sends between two reads of the others' accounts is not visible to them, so a declared limit may be exceeded by
that much; the provider's own 429 is the hard limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from llmops.routing.route import Deployment

KEPT_MINUTES = 5
"""Minutes kept in an account, including the current one; shares are computed over them."""
_MINUTE = timedelta(minutes=1)
_RESET = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_NUMBER = re.compile(r"\d{1,15}")


@dataclass(frozen=True, slots=True)
class Used:
    """What a deployment was sent in a minute.

    Attributes:
        requests: Calls made.
        tokens: Their tokens; for calls under way, the estimate.
        failures: Calls that failed or were refused.
    """

    requests: int = 0
    tokens: int = 0
    failures: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.requests + other.requests, max(0, self.tokens + other.tokens), self.failures + other.failures)


@dataclass(frozen=True, slots=True)
class Account:
    """What one worker sent to the deployments of a route.

    Attributes:
        minutes: By minute (since 1970), by deployment.
    """

    minutes: Mapping[int, Mapping[str, Used]] = field(default_factory=dict[int, "Mapping[str, Used]"])

    def adding(self, deployment: str, used: Used, now: datetime) -> Account:
        """Return the account with this added to the current minute, without minutes that are too old."""
        minute = minute_of(now)
        kept = {at: given for at, given in self.minutes.items() if minute - KEPT_MINUTES < at <= minute}
        current = dict(kept.get(minute, {}))
        current[deployment] = current.get(deployment, Used()) + used
        return Account({**kept, minute: current})

    def of(self, deployment: str, minute: int) -> Used:
        """Return what the deployment was sent in the minute."""
        return self.minutes.get(minute, {}).get(deployment, Used())


@dataclass(frozen=True, slots=True)
class Remaining:
    """The quota a deployment reports as remaining (`x-ratelimit-remaining-*`).

    Attributes:
        requests: Requests left; None where not reported.
        tokens: Tokens left; None where not reported.
        until: When the report expires: when the quota is full again as reported, else at the next minute.
    """

    requests: int | None
    tokens: int | None
    until: datetime

    def after(self, used: Used) -> Remaining:
        """Return the remaining quota after a further use."""
        requests = None if self.requests is None else max(0, self.requests - used.requests)
        tokens = None if self.tokens is None else max(0, self.tokens - used.tokens)
        return replace(self, requests=requests, tokens=tokens)

    @property
    def spent(self) -> bool:
        """Whether requests or tokens are used up."""
        return self.requests == 0 or self.tokens == 0


def minute_of(now: datetime) -> int:
    """Return the minute since 1970."""
    return int(now.timestamp() // 60)


def together(accounts: Iterable[Account]) -> Account:
    """Return the sum of accounts."""
    minutes: dict[int, dict[str, Used]] = {}
    for account in accounts:
        for minute, by_deployment in account.minutes.items():
            sums = minutes.setdefault(minute, {})
            for name, used in by_deployment.items():
                sums[name] = sums.get(name, Used()) + used
    return Account(minutes)


def fits(one: Deployment, used: Used, remaining: Remaining | None, tokens: int, now: datetime) -> bool:
    """Return whether a call of so many tokens fits the deployment's quota, declared and reported.

    A call larger than the whole declared quota fits a minute without other calls; otherwise it could never be made.
    """
    if one.rpm is not None and used.requests >= one.rpm:
        return False
    if one.tpm is not None and used.tokens and used.tokens + tokens > one.tpm:
        return False
    if remaining is None or now >= remaining.until:
        return True
    return remaining.requests != 0 and (remaining.tokens is None or remaining.tokens >= tokens)


def free_from(one: Deployment, used: Used, remaining: Remaining | None, tokens: int, now: datetime) -> datetime:
    """Return the estimated time from which a call that does not fit the quota now will fit."""
    declared = fits(one, used, None, tokens, now)
    if declared and remaining is not None:
        return max(now, remaining.until)
    return datetime.fromtimestamp((minute_of(now) + 1) * 60, tz=now.tzinfo)


def read_remaining(headers: Mapping[str, str], now: datetime) -> Remaining | None:
    """Return the remaining quota that a response reports; None where it reports nothing readable.

    The headers are those of OpenAI and Azure OpenAI: `x-ratelimit-remaining-requests` and `-tokens` are whole numbers,
    `x-ratelimit-reset-requests` and `-tokens` a duration such as `1s`, `6m0s` or `250ms`, which not every server sends.
    """
    left = [_whole(headers.get(f"x-ratelimit-remaining-{what}")) for what in ("requests", "tokens")]
    if left == [None, None]:
        return None
    resets = [
        _seconds(headers.get(f"x-ratelimit-reset-{what}"))
        for what, count in zip(("requests", "tokens"), left, strict=True)
        if count is not None
    ]
    known = [reset for reset in resets if reset is not None]
    until = now + timedelta(seconds=min(max(known), 3600.0)) if known else now + _MINUTE
    return Remaining(left[0], left[1], until)


def _whole(text: str | None) -> int | None:
    """Return the number; negative ones, which some gateways send for an overdrawn quota, as 0; None for other text."""
    value = (text or "").strip()
    if value.startswith("-") and _NUMBER.fullmatch(value[1:]):
        return 0
    return int(value) if _NUMBER.fullmatch(value) else None


def _seconds(text: str | None) -> float | None:
    value = (text or "").strip()
    if _NUMBER.fullmatch(value):
        return float(value)
    found = _RESET.fullmatch(value)
    if not value or found is None:
        return None
    hours, minutes, seconds, millis = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0) + int(millis or 0) / 1000
