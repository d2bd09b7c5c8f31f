"""The lazily compiled dataclasses behave as those of the standard library; each test compares one with the other."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

import pytest
from pydantic import TypeAdapter

from kernel.lazy_dataclass import dataclass

T = TypeVar("T")
Make = Callable[[type], Any]
Outcome = tuple[str, object]


class _Base(ABC):
    @abstractmethod
    def size(self) -> int: ...


def _plain() -> type:
    class Plain:
        """Required fields, defaults and factories."""

        number: int
        text: str
        several: tuple[int, ...] = (1,)
        made: list[int] = dataclasses.field(default_factory=list[int])

    return Plain


def _keywords() -> type:
    class Keywords:
        shared: ClassVar[int] = 3
        first: int = 1
        _: dataclasses.KW_ONLY
        second: int
        third: str = "third"

    return Keywords


def _options() -> type:
    class Options:
        secret: str = dataclasses.field(repr=False)
        note: str = dataclasses.field(default="", compare=False)
        cached: int = dataclasses.field(default=0, hash=False)
        derived: list[str] = dataclasses.field(init=False, default_factory=lambda: ["derived"])
        fixed: int = dataclasses.field(init=False, default=7)

    return Options


def _empty() -> type:
    class Empty:
        """No field at all."""

    return Empty


def _checked() -> type:
    class Checked(_Base, Generic[T]):
        value: T
        limit: int = 3

        def __post_init__(self) -> None:
            if self.limit < 0:
                raise ValueError("limit")

        def size(self) -> int:
            return self.limit

        @property
        def twice(self) -> int:
            return 2 * self.limit

    return Checked


def _own_equality() -> type:
    class OwnEquality:
        text: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, OwnEquality) and self.text.lower() == other.text.lower()

        def __hash__(self) -> int:
            return hash(self.text.lower())

    return OwnEquality


SHAPES = [_plain, _keywords, _options, _empty, _checked, _own_equality]
CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    *(((), {}), ((1,), {}), ((1, 2), {}), ((1, 2, 3), {}), ((1, 2, 3, 4), {}), ((1, 2, 3, 4, 5), {})),
    *(((), given) for given in ({"number": 1, "text": "a"}, {"second": 2}, {"secret": "s"}, {"value": 1, "limit": -1})),
    *(((1,), given) for given in ({"text": "a", "made": [4]}, {"second": 2}, {"number": 1}, {"limit": 9}, {"x": 1})),
    *(((value,), given) for value in ("a", "A") for given in ({}, {"note": "other"}, {"cached": 2})),
]


def _outcome(action: Callable[[], object]) -> Outcome:
    """Return what the action returned, or the kind and text of its error."""
    try:
        return "returned", action()
    except Exception as error:  # noqa: BLE001 - whatever it is, both must raise it
        return type(error).__name__, str(error)


def _seen(shape: Callable[[], type], decorate: Make) -> list[Outcome]:
    """Return what can be seen of the class and of instances of it, in values that compare across classes."""
    cls = decorate(shape())
    seen: list[Outcome] = [
        _outcome(lambda: cls.__match_args__),
        _outcome(lambda: [(f.name, f.type, f.init, f.repr, f.compare) for f in dataclasses.fields(cls)]),
        _outcome(lambda: cls.__slots__),
        _outcome(lambda: repr(cls.__dataclass_params__)),
    ]
    names = [field.name for field in dataclasses.fields(cls)]
    made: list[Any] = []
    for args, given in CALLS:
        kind, result = _outcome(lambda args=args, given=given: cls(*args, **given))
        seen.append((kind, repr(result)))
        if kind == "returned":
            made.append(result)
    for one in made:
        seen += [_outcome(lambda one=one: (hash(one) == hash(copy.copy(one)), dataclasses.asdict(one)))]
        seen += [_outcome(lambda one=one, other=other: one == other) for other in [*made, copy.deepcopy(one), 1, None]]
        seen += [_outcome(lambda one=one, name=name: setattr(one, name, 1)) for name in names]
        seen += [_outcome(lambda one=one, name=name: delattr(one, name)) for name in names]
        seen += [_outcome(lambda one=one: repr(dataclasses.replace(one, text="new")))]
        seen += [_outcome(lambda one=one: repr(dataclasses.replace(one, limit=-1)))]
        seen += [_outcome(lambda one=one: one.__getstate__())]
        seen += [_outcome(lambda one=one: repr(TypeAdapter(cls).validate_python(dataclasses.asdict(one))))]
    return seen


@pytest.mark.parametrize("shape", SHAPES)
def test_a_class_behaves_as_the_standard_librarys(shape: Callable[[], type]) -> None:
    ours = _seen(shape, dataclass(frozen=True, slots=True))
    assert ours == _seen(shape, dataclasses.dataclass(frozen=True, slots=True))
    assert any(kind == "returned" for kind, _ in ours[4 : 4 + len(CALLS)])  # some call has made an instance


@pytest.mark.parametrize(
    "options", [{}, {"frozen": True}, {"slots": True}, {"frozen": True, "slots": True, "kw_only": True}]
)
def test_other_options_are_the_standard_librarys(options: dict[str, bool]) -> None:
    cls = dataclass(**options)(_plain())
    assert cls.__init__.__code__.co_varnames[:3] == ("self", "number", "text")  # compiled at once
    assert cls(number=1, text="a") == cls(number=1, text="a")


@dataclass(frozen=True, slots=True)
class Value:
    """At the top of a module, where pickle finds it."""

    number: int
    made: dict[str, int] = dataclasses.field(default_factory=dict[str, int])


def test_instances_are_pickled_and_copied() -> None:
    value = Value(1, {"a": 2})
    again = pickle.loads(pickle.dumps(value))
    assert (again, type(again)) == (value, Value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.unknown = 1  # pyright: ignore[reportAttributeAccessIssue]
    deep = copy.deepcopy(value)
    assert deep == value
    assert deep.made is not value.made
    assert Value(1).made is not Value(1).made


def test_the_first_instance_may_be_made_by_several_threads_or_a_derived_class() -> None:
    @dataclass(frozen=True, slots=True)
    class First:
        number: int

    class Derived(First):
        """Not a dataclass: it may have attributes of its own, but the fields stay frozen."""

    derived = Derived(2)
    derived.note = "mine"  # pyright: ignore[reportAttributeAccessIssue]
    assert (derived.number, derived.note) == (2, "mine")  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        derived.number = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del derived.number  # pyright: ignore[reportAttributeAccessIssue]
    del derived.note  # pyright: ignore[reportAttributeAccessIssue]
    assert First(2) != derived
    early = First.__init__
    assert First(4).number == 4
    early(again := object.__new__(First), 5)  # held by another thread since before it was compiled
    assert again.number == 5


def test_a_dataclass_may_be_derived_from_one() -> None:
    @dataclass(frozen=True, slots=True)
    class Parent:
        number: int

    @dataclass(frozen=True, slots=True)
    class Child(Parent):
        text: str = "a"

    assert repr(Child(1)).endswith("Child(number=1, text='a')")
    assert Child(1) == Child(1) != Child(1, "b")
    with pytest.raises(dataclasses.FrozenInstanceError):
        Child(1).number = 2  # pyright: ignore[reportAttributeAccessIssue]


def test_init_is_compiled_when_it_is_first_called() -> None:
    @dataclass(frozen=True, slots=True)
    class Late:
        number: int

    assert Late.__init__.__code__.co_varnames[0] != "number"
    assert "number" not in Late.__init__.__code__.co_varnames
    assert Late(1).number == 1
    assert "number" in Late.__init__.__code__.co_varnames
    with pytest.raises(TypeError, match=r"Late\.__init__\(\) missing 1 required positional argument: 'number'"):
        Late()  # pyright: ignore[reportCallIssue]
