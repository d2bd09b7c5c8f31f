"""The standard library's `dataclass`, with methods that are compiled when they are first called.

The standard library compiles six methods for each class. A worker makes some 340 of our classes before its first
answer and calls the methods of half of them: that was a third of the processor time until then. Here a class has its
fields, slots and `__match_args__` from the standard library, `__init__` is compiled at its first call, and the other
methods are closures. The classes behave as the standard library's do (tests/kernel/test_lazy_dataclass.py compares
them), but for `inspect.signature`, which finds no parameters before there is an instance.

Only `@dataclass(frozen=True, slots=True)` is treated so, the form of nearly all values here.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - exported
else:

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        """Return the class as a dataclass; see `dataclasses.dataclass`."""
        if cls is None:
            return lambda decorated: dataclass(decorated, **options)
        if options != {"frozen": True, "slots": True} or not _is_plain(cls):
            return dataclasses.dataclass(cls, **options)
        return _with_methods(dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=True))


_MADE = {"__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__", "__getstate__", "__setstate__"}


def _is_plain(cls: type) -> bool:
    """Return whether no base is a dataclass, and the class defines none of the methods that are made here."""
    return not hasattr(cls, "__dataclass_fields__") and _MADE.isdisjoint(vars(cls))


def _with_methods(cls: Any) -> Any:
    fields = dataclasses.fields(cls)
    names = [field.name for field in fields]
    compared = _getter([field.name for field in fields if field.compare])
    hashed = _getter([field.name for field in fields if (field.compare if field.hash is None else field.hash)])
    shown = [field.name for field in fields if field.repr]

    def __init__(self: Any, *args: Any, **given: Any) -> None:  # noqa: N807
        cls.__init__ = compiled = _compiled_init(cls)
        compiled(self, *args, **given)

    def __repr__(self: Any) -> str:  # noqa: N807
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807
        return compared(self) == compared(other) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(hashed(self))

    def __setattr__(self: Any, name: str, value: object) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)  # a derived class may have attributes of its own

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        object.__delattr__(self, name)

    def __getstate__(self: Any) -> list[Any]:  # noqa: N807
        return [getattr(self, name) for name in names]

    def __setstate__(self: Any, state: list[Any]) -> None:  # noqa: N807
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    for method in (__init__, __repr__, __eq__, __hash__, __setattr__, __delattr__, __getstate__, __setstate__):
        method.__module__ = cls.__module__
        method.__qualname__ = f"{cls.__qualname__}.{method.__name__}"
        setattr(cls, method.__name__, method)
    options = cls.__dataclass_params__  # the standard library reads them where a dataclass is derived from this one
    options.init = options.repr = options.eq = options.frozen = True
    return cls


def _compiled_init(cls: Any) -> Callable[..., None]:
    """Return the class's `__init__`. Slots are set by their own setters, in half the time of `object.__setattr__`."""
    parameters: dict[bool, list[str]] = {False: ["self"], True: []}
    body: list[str] = []
    known: dict[str, Any] = {"_not_given": dataclasses.MISSING}
    for field in dataclasses.fields(cls):
        name = value = parameter = field.name
        known[f"_set_{name}"] = getattr(cls, name).__set__
        if field.default_factory is not dataclasses.MISSING:
            known[f"_make_{name}"] = field.default_factory
            parameter = f"{name}=_not_given"
            value = f"_make_{name}() if {name} is _not_given else {name}" if field.init else f"_make_{name}()"
        elif field.default is not dataclasses.MISSING:
            known[f"_default_{name}"] = field.default
            parameter = f"{name}=_default_{name}"
            value = name if field.init else f"_default_{name}"
        if field.init:
            parameters[field.kw_only is True].append(parameter)
        if field.init or value != name:
            body.append(f"_set_{name}(self, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    given = ", ".join([*parameters[False], *(["*", *parameters[True]] if parameters[True] else [])])
    exec(f"def __init__({given}):\n " + "\n ".join(body or ["pass"]), known)  # noqa: S102 - as the standard library does
    compiled = known["__init__"]
    compiled.__module__ = cls.__module__
    compiled.__qualname__ = f"{cls.__qualname__}.__init__"
    return compiled


def _getter(names: list[str]) -> Callable[[Any], object]:
    return attrgetter(*names) if names else lambda _: ()
