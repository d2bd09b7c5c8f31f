"""Errors of a Table service as those of the `Tables` protocol."""

from __future__ import annotations

from contextlib import suppress

from adapters.table_answers import Answer
from kernel.errors import Unavailable
from kernel.tables import RowChanged, RowExists, RowTooLarge

_ABSENT = frozenset({"ResourceNotFound", "EntityNotFound"})
_TAKEN = frozenset({"EntityAlreadyExists", "TableAlreadyExists"})
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestBodyTooLarge", "PropertyValueTooLarge"})


class NoRow(RowChanged):
    """The row does not exist."""


class NoTable(Unavailable):
    """The table does not exist; try again later."""

    code = "storage_unavailable"


def meaning(answer: Answer) -> Exception:
    """Return the error for an unsuccessful response, alone or of an operation within a transaction.

    NoTable: the table does not exist. NoRow: the row does not exist. RowExists: the key exists. RowChanged: the row has
    another
    ETag now. RowTooLarge: the row or the commit is too large. ValueError: the request is malformed. Unavailable: the
    service is
    throttling, failing, or refuses the credentials.
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
    """Return the error for a request without a complete response; it names only the kind of failure."""
    return _unavailable(type(error).__name__)


def _unavailable(reason: str, retry_after_s: float | None = None) -> Unavailable:
    detail = f"The table service is unavailable ({reason}); try again later."
    return Unavailable(detail, code="storage_unavailable", retry_after_s=retry_after_s)


def _retry_after_s(answer: Answer) -> float | None:
    with suppress(ValueError):
        return float(answer.headers.get("retry-after", ""))
    return None
