"""What the errors of the Azure Tables SDK mean to callers of the Tables seam."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from kernel.errors import Unavailable
from kernel.tables import RowChanged, RowExists, RowTooLarge

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

T = TypeVar("T")

_ABSENT = frozenset({"ResourceNotFound", "EntityNotFound"})
_TAKEN = frozenset({"EntityAlreadyExists", "TableAlreadyExists"})
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestBodyTooLarge", "PropertyValueTooLarge"})


class NoRow(RowChanged):
    """The service has no such row."""


class NoTable(Unavailable):
    """The table is not there; try again later."""

    code = "storage_unavailable"


async def answer(call: Awaitable[T]) -> T:
    """Return what the SDK's call returns, and raise its errors as the seam's.

    Raises:
        NoRow: There is no such row.
        NoTable: There is no such table.
        RowExists: The key is taken.
        RowChanged: The row's ETag is another now.
        RowTooLarge: The service found the row or the commit too large.
        Unavailable: The service could not be reached, is throttling, or refused our credentials.
        ValueError: The service found the request malformed.
    """
    from azure.core.exceptions import AzureError  # noqa: PLC0415 - the SDK is imported on first use

    try:
        return await call
    except AzureError as error:
        raise meaning(error) from None  # the SDK's texts hold URLs and, for refused requests, what was signed
    except AttributeError as error:
        if isinstance(error.__context__, AzureError):  # SDK 12.7 stumbles over an insert whose answer broke off
            raise meaning(error.__context__) from None
        raise


def meaning(error: AzureError) -> Exception:
    """Return the seam's error for the SDK's."""
    from azure.data.tables import RequestTooLargeError  # noqa: PLC0415 - the SDK is imported on first use

    status, code = getattr(error, "status_code", None), _code(error)
    if code == "TableNotFound":
        return NoTable()
    if status == 404 and code in _ABSENT:
        return NoRow()
    if status == 412:
        return RowChanged()
    if code in _TAKEN:
        return RowExists()
    if code in _TOO_LARGE or status == 413 or isinstance(error, RequestTooLargeError):
        return RowTooLarge(code)
    if status == 400:
        return ValueError(f"the table service refused the request: {code}")
    reason = " ".join(str(part) for part in (status or type(error).__name__, code) if part)
    detail = f"The table service is unavailable ({reason}); try again later."
    return Unavailable(detail, code="storage_unavailable", retry_after_s=_retry_after_s(error))


def _code(error: AzureError) -> str | None:
    """Return the service's error code, from the body where the SDK leaves it there, as it does for inserts."""
    code = getattr(error, "error_code", None)
    response = getattr(error, "response", None)
    if code is None and response is not None:
        with suppress(ValueError, LookupError, TypeError, AttributeError):
            code = json.loads(response.text())["odata.error"]["code"]
    return getattr(code, "value", code)


def _retry_after_s(error: AzureError) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", {})
    with suppress(ValueError):
        return float(headers.get("Retry-After", ""))
    return None
