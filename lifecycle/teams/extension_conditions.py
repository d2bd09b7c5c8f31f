"""Handoff conditions of extensions."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import overload

from kernel.lazy_dataclass import dataclass
from lifecycle.teams.member_routing import Situation

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class HandoffCondition:
    """Decides whether a member hands over; a trigger names it `extension:{name}`.

    Attributes:
        name: Its name.
        function: Takes a `Situation` and returns whether the condition is true. Called in the worker; must be fast.
    """

    name: str
    function: Callable[[Situation], bool]

    def __call__(self, situation: Situation) -> bool:
        """Return whether it is true; False if it raises, which is logged without the exception's text."""
        try:
            return bool(self.function(situation))
        except Exception as error:  # noqa: BLE001 - whatever somebody's function does, the run goes on
            log.warning("condition %s: %s", self.name, type(error).__name__, extra={"event": "team.condition_failed"})
            return False


@overload
def condition(function: Callable[[Situation], bool], /) -> HandoffCondition: ...
@overload
def condition(*, name: str) -> Callable[[Callable[[Situation], bool]], HandoffCondition]: ...
def condition(
    function: Callable[[Situation], bool] | None = None, /, *, name: str = ""
) -> HandoffCondition | Callable[[Callable[[Situation], bool]], HandoffCondition]:
    """Make the function a condition, with the function's name unless one is given.

    Raises:
        ValueError: The name is not valid.
    """

    def decorated(given: Callable[[Situation], bool]) -> HandoffCondition:
        named = name or given.__name__
        if not _NAME.fullmatch(named):
            msg = f"a condition's name is of a-z, 0-9 and _, begins with a letter and has at most 64; not {named!r}"
            raise ValueError(msg)
        return HandoffCondition(named, given)

    return decorated(function) if function is not None else decorated
