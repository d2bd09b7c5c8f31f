"""Merges layers: of two values, the higher layer's wins. `composition` makes a spec of the result.

For each field of the spec, each label, each guideline, each capability's switch and the choice of a personality, a
higher layer's value replaces a lower one's. Added instructions, prohibitions and approval rules accumulate: no layer
removes another's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from kernel.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from lifecycle.configuration.layers import Guideline, Layer

_BY_KEY = ("labels", "guidelines", "capabilities")
_ADDED = ("more_instructions", "prohibited")
_JOINED = ("approvals",)
_NO_SETTINGS = ("template", "extends", "category", "overrides")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from.

    Attributes:
        kind: The kind of layer that set it.
        name: The layer's name; empty where there is only one of its kind.
        version: The layer's version; 0 for built-in layers and those without versions.
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
    """The merged values of some layers.

    Attributes:
        values: The winning value by path: a field's name, followed by the key for fields that are merged by key.
        added: Values that accumulate, by field, lowest layer first.
    """

    values: Mapping[tuple[str, ...], OriginValue]
    added: Mapping[str, Sequence[OriginValue]]

    @classmethod
    def of(cls, layer: Layer, origin: Origin) -> Merged:
        """Return the values of one layer."""
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
        """Return these values merged under higher ones. Associative; NOTHING is the identity."""
        names = self.added.keys() | higher.added.keys()
        added = {name: (*self.added.get(name, ()), *higher.added.get(name, ())) for name in names}
        both = [path for path in higher.values.keys() & self.values.keys() if path[0] in _JOINED]
        joined = {
            path: OriginValue((*self.values[path].value, *higher.values[path].value), higher.values[path].origin)
            for path in both
        }
        return Merged({**self.values, **higher.values, **joined}, added)

    def keyed(self, field: str) -> Mapping[str, OriginValue]:
        """Return the values of a field that is merged by key, by key."""
        return {path[1]: value for path, value in self.values.items() if path[0] == field and len(path) > 1}

    @property
    def guidelines(self) -> Sequence[tuple[str, Guideline, Origin]]:
        """The guidelines by priority, highest first, then by name."""
        kept = [(key, each.value, each.origin) for key, each in self.keyed("guidelines").items() if each.value]
        return sorted(kept, key=lambda each: (-each[1].priority, each[0]))

    @property
    def personality(self) -> str | None:
        """The chosen personality; None for none."""
        chosen = self.values.get(("personality",))
        return chosen.value if chosen else None

    @property
    def capabilities(self) -> Sequence[str]:
        """The names of the capabilities that are switched on, sorted."""
        return sorted(name for name, switch in self.keyed("capabilities").items() if switch.value)


NOTHING = Merged({}, {})
