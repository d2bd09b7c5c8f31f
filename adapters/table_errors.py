"""What a Table service's refusals mean to callers of the Tables seam."""

from __future__ import annotations

from contextlib import suppress

from adapters.table_answers import Answer
from kernel.errors import Unavailable
from kernel.tables import RowChanged, RowExists, RowTooLarge

_ABSENT = frozenset({"ResourceNotFound", "EntityNotFound"})
_TAKEN = frozenset({"EntityAlreadyExists", "TableAlreadyExists"})
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestBodyTooLarge", "PropertyValueTooLarge"})


class NoRow(RowChanged):
    """The service has no such row."""


class NoTable(Unavailable):
    """The table is not there; try again later."""

    code = "storage_unavailable"


def meaning(answer: Answer) -> Exception:
    """Return the seam's error for an answer that is no success: alone, or an operation's within a transaction.

    NoTable: there is no such table. NoRow: there is no such row. RowExists: the key is taken. RowChanged: the row's
    ETag is another now. RowTooLarge: the service found the row or the commit too large. ValueError: it found the
    request malformed. Unavailable: it is throttling, failing, or refuses our credentials.
    """
    status, code = answer.status, answer.code
    if code == "TableNotFound":
        return NoTable()
    if status == 404 and code in _ABSENT:
        return NoRow()
    if status == 412:
        return RowChanged()
    if code in _TAKEN:
        return RowExists()
    if code in _TOO_LARGE or status == 413:
        return RowTooLarge(code)
    if status == 400:
        return ValueError(f"the table service refused the request: {code}")
    return _unavailable(" ".join(str(part) for part in (status, code) if part), _retry_after_s(answer))


def unreachable(error: Exception) -> Unavailable:
    """Return the seam's error for a request that got no whole answer; it names the kind of failure only."""
    return _unavailable(type(error).__name__)


def _unavailable(reason: str, retry_after_s: float | None = None) -> Unavailable:
    detail = f"The table service is unavailable ({reason}); try again later."
    return Unavailable(detail, code="storage_unavailable", retry_after_s=retry_after_s)


def _retry_after_s(answer: Answer) -> float | None:
    with suppress(ValueError):
        return float(answer.headers.get("retry-after", ""))
    return None
