"""Layers over one another: of what two layers say, the higher one's counts. `composition` makes a spec of the result.

For each field of the spec, each label, each guideline, each capability's switch and the choice of a personality, what a
higher layer says replaces what a lower one says. Added instructions, prohibitions and rules of approvals accumulate: no
layer takes back another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lifecycle.configuration.layers import Guideline, Layer

_BY_KEY = ("labels", "guidelines", "capabilities")
_ADDED = ("more_instructions", "prohibited")
_JOINED = ("approvals",)
_NO_SETTINGS = ("template", "extends", "category", "overrides")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Attributes:
        kind: What said it.
        name: Its name; empty for what there is only one of.
        version: Its version; 0 for what the app brings and for what has none.
    """

    kind: Literal["default", "template", "overrides", "agent", "personality", "capability"]
    name: str = ""
    version: int = 0


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class OriginValue:
    """A value and where it comes from."""

    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class Merged:
    """What some layers say together.

    Attributes:
        values: The value that counts, by path: a field's name, and for what is merged by key the key after it.
        added: What accumulates, by field, lowest layer first.
    """

    values: Mapping[tuple[str, ...], OriginValue]
    added: Mapping[str, Sequence[OriginValue]]

    @classmethod
    def of(cls, layer: Layer, origin: Origin) -> Merged:
        """Return what one layer says."""
        values: dict[tuple[str, ...], OriginValue] = {}
        added: dict[str, Sequence[OriginValue]] = {}
        for name, value in layer.given.items():
            if name in _BY_KEY:
                values |= {(name, key): OriginValue(each, origin) for key, each in value.items()}
            elif name in _ADDED:
                each = [value] if isinstance(value, str) else value
                added[name] = tuple(OriginValue(one, origin) for one in each)
            elif name not in _NO_SETTINGS:
                values[name,] = OriginValue(value, origin)
        return cls(values, added)

    def under(self, higher: Merged) -> Merged:
        """Return what both say, where the higher one counts; associative, with NOTHING as its identity."""
        names = self.added.keys() | higher.added.keys()
        added = {name: (*self.added.get(name, ()), *higher.added.get(name, ())) for name in names}
        both = [path for path in higher.values.keys() & self.values.keys() if path[0] in _JOINED]
        joined = {
            path: OriginValue((*self.values[path].value, *higher.values[path].value), higher.values[path].origin)
            for path in both
        }
        return Merged({**self.values, **higher.values, **joined}, added)

    def keyed(self, field: str) -> Mapping[str, OriginValue]:
        """Return what is said of a field that is merged by key."""
        return {path[1]: value for path, value in self.values.items() if path[0] == field and len(path) > 1}

    @property
    def guidelines(self) -> Sequence[tuple[str, Guideline, Origin]]:
        """The guidelines that count, the most important first, by name among equals."""
        kept = [(key, each.value, each.origin) for key, each in self.keyed("guidelines").items() if each.value]
        return sorted(kept, key=lambda each: (-each[1].priority, each[0]))

    @property
    def personality(self) -> str | None:
        """The personality that was chosen; None for none."""
        chosen = self.values.get(("personality",))
        return chosen.value if chosen else None

    @property
    def capabilities(self) -> Sequence[str]:
        """The capabilities that are switched on, by name."""
        return sorted(name for name, switch in self.keyed("capabilities").items() if switch.value)


NOTHING = Merged({}, {})
