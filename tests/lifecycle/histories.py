"""Histories of an agent's declaration, and the operations that belong to them, for hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import strategies as st

from lifecycle.registry.actor_operations import (
    Disable,
    Enable,
    Ensure,
    KeepVersion,
    Operation,
    RecordUse,
    Remove,
    Renew,
    Restore,
    Retire,
    Verify,
)
from lifecycle.registry.audit import AuditStep
from lifecycle.registry.record import AgentRecord
from tests.lifecycle.doubles import NOW, spec

SPECS = [spec(instructions=text) for text in ("one", "two", "three")]
Make = Callable[[str], Operation]


@dataclass(frozen=True)
class Declared:
    """One revision of a declaration, as `lifecycle.registry.catalog` would make it."""

    revision: int
    spec: int
    enabled: bool
    deleted: bool
    kind: str

    def operations(self) -> list[Make]:
        """Return what may be sent on behalf of this revision."""
        may: list[Make] = []
        if self.enabled and not self.deleted:
            may.append(lambda ident: Ensure(ident, self.revision, SPECS[self.spec]))
            may.append(lambda ident: Restore(ident, self.revision, SPECS[self.spec]))
            may.append(lambda ident: Renew(ident, self.revision, SPECS[self.spec]))
        own = {"disable": Disable, "enable": Enable, "delete": Remove}.get(self.kind)
        if own is not None:
            may += [lambda ident: own(ident, self.revision)] * 2
        return may


def history(changes: Sequence[tuple[str, int]]) -> list[Declared]:
    """Return the revisions that come of the changes; one that does not apply is left out."""
    revisions = [Declared(1, 0, enabled=True, deleted=False, kind="declare")]
    for kind, number in changes:
        last = revisions[-1]
        change: dict[str, object] = {}
        if kind == "declare" and last.deleted:
            change = {"spec": number, "deleted": False, "enabled": True}
        elif last.deleted:
            continue
        elif kind == "declare" and number != last.spec:
            change = {"spec": number}
        elif kind == "disable" and last.enabled:
            change = {"enabled": False}
        elif kind == "enable" and not last.enabled:
            change = {"enabled": True}
        elif kind == "delete":
            change = {"deleted": True}
        if change:
            revisions.append(replace(last, revision=last.revision + 1, kind=kind, **change))  # type: ignore[arg-type]
    return revisions


changes = st.lists(
    st.tuples(st.sampled_from(["declare", "declare", "disable", "enable", "delete"]), st.integers(0, 2)), max_size=6
)
UNDECLARED: list[Make] = [
    lambda ident: RecordUse(ident, 1, NOW),
    lambda ident: Retire(ident, NOW + timedelta(hours=1)),
    lambda ident: Retire(ident, NOW - timedelta(hours=1)),
    lambda ident: Retire(ident, NOW + timedelta(hours=1), grace_s=60),
    Verify,
    lambda ident: KeepVersion(ident, SPECS[0]),
    lambda ident: KeepVersion(ident, SPECS[1]),
]


@st.composite
def operation_lists(draw: st.DrawFn, *, most: int = 10) -> list[Operation]:
    """Draw operations of one history, in any order and not all of them."""
    may = [make for declared in history(draw(changes)) for make in declared.operations()] + UNDECLARED
    made = draw(st.lists(st.sampled_from(may), min_size=1, max_size=most))
    return [make(f"op-{number}") for number, make in enumerate(made)]


def comparable(record: AgentRecord) -> AgentRecord:
    """Return the record without what a crash may change: whether a version was created or, after one, adopted."""
    told = tuple(
        replace(line, step=AuditStep.CREATED if line.step is AuditStep.ADOPTED else line.step, id="")
        for line in record.unpublished
    )
    return replace(record, created=record.created + record.adopted, adopted=0, unpublished=told)
