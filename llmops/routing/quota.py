"""What deployments were given of late, by minute, and what they say is left: how much of a quota is free.

Each worker keeps its own account and publishes it; what a deployment was given in a minute is the sum of all accounts.
What one worker does between two looks at the others' is not seen by them, so a declared limit is a rule of choice
that can be passed by that much; the provider's own 429 is the limit that holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from llmops.routing.model import Deployment

KEPT_MINUTES = 5
"""Minutes of an account that are kept, the current one among them; shares are of these."""
_MINUTE = timedelta(minutes=1)
_RESET = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9})ms)?")
_NUMBER = re.compile(r"\d{1,15}")


@dataclass(frozen=True, slots=True)
class Used:
    """What a deployment was given in a minute.

    Attributes:
        requests: Calls made.
        tokens: Their tokens; of those under way, their estimate.
        failures: Of the calls, those that failed or were refused.
    """

    requests: int = 0
    tokens: int = 0
    failures: int = 0

    def __add__(self, other: Used) -> Used:
        return Used(self.requests + other.requests, max(0, self.tokens + other.tokens), self.failures + other.failures)


@dataclass(frozen=True, slots=True)
class Account:
    """What one worker gave to the deployments of a route.

    Attributes:
        minutes: By minute (since 1970), by deployment.
    """

    minutes: Mapping[int, Mapping[str, Used]] = field(default_factory=dict[int, "Mapping[str, Used]"])

    def adding(self, deployment: str, used: Used, now: datetime) -> Account:
        """Return the account with this added to the current minute, and without what is too old."""
        minute = minute_of(now)
        kept = {at: given for at, given in self.minutes.items() if minute - KEPT_MINUTES < at <= minute}
        current = dict(kept.get(minute, {}))
        current[deployment] = current.get(deployment, Used()) + used
        return Account({**kept, minute: current})

    def of(self, deployment: str, minute: int) -> Used:
        """Return what the deployment was given in the minute."""
        return self.minutes.get(minute, {}).get(deployment, Used())


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a deployment says is left of its quota (`x-ratelimit-remaining-*`).

    Attributes:
        requests: Requests left; None where it does not say.
        tokens: Tokens left; None where it does not say.
        until: Until when to believe it: when the quota is full again, as it says, else the next minute.
    """

    requests: int | None
    tokens: int | None
    until: datetime

    def after(self, used: Used) -> Remaining:
        """Return what is left after this was used as well."""
        requests = None if self.requests is None else max(0, self.requests - used.requests)
        tokens = None if self.tokens is None else max(0, self.tokens - used.tokens)
        return replace(self, requests=requests, tokens=tokens)

    @property
    def spent(self) -> bool:
        """Whether nothing is left of one of them."""
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
    """Return whether a call of so many tokens has room in the deployment's quota, declared and reported.

    A call that is larger than the whole declared quota fits an unused minute: else it would never be made.
    """
    if one.rpm is not None and used.requests >= one.rpm:
        return False
    if one.tpm is not None and used.tokens and used.tokens + tokens > one.tpm:
        return False
    if remaining is None or now >= remaining.until:
        return True
    return remaining.requests != 0 and (remaining.tokens is None or remaining.tokens >= tokens)


def free_from(one: Deployment, used: Used, remaining: Remaining | None, tokens: int, now: datetime) -> datetime:
    """Return when the quota that has no room for a call now will have it, as far as one can know."""
    declared = fits(one, used, None, tokens, now)
    if declared and remaining is not None:
        return max(now, remaining.until)
    return datetime.fromtimestamp((minute_of(now) + 1) * 60, tz=now.tzinfo)


def read_remaining(headers: Mapping[str, str], now: datetime) -> Remaining | None:
    """Return what a response says is left; None where it says nothing that can be read.

    The headers are OpenAI's and Azure OpenAI's: `x-ratelimit-remaining-requests` and `-tokens` hold whole numbers,
    `x-ratelimit-reset-requests` and `-tokens` a time like `1s`, `6m0s` or `250ms`, which not every server sends.
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
    """Return the number; a negative one, which some gateways send for an overdrawn quota, is 0."""
    said = (text or "").strip()
    if said.startswith("-") and _NUMBER.fullmatch(said[1:]):
        return 0
    return int(said) if _NUMBER.fullmatch(said) else None


def _seconds(text: str | None) -> float | None:
    said = (text or "").strip()
    if _NUMBER.fullmatch(said):
        return float(said)
    found = _RESET.fullmatch(said)
    if not said or found is None:
        return None
    hours, minutes, seconds, millis = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0) + int(millis or 0) / 1000
