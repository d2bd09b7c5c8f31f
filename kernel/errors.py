"""The error classes: every failure that callers can see, each with a stable code.

AppError
├── InvalidInput          the request is wrong; nothing was changed
│   └── TooLarge          …because it exceeds a documented limit
├── Forbidden             the caller is authenticated but not allowed
├── NotFound              does not exist in the caller's workspace
├── Conflict              exists, but its state or content forbids this
│   └── EtagMismatch      …because it was changed since the caller read it
├── TooManyRequests       no capacity now; retry later
├── Unavailable           a dependency is down, slow or throttling; retry later
├── InternalError         a defect of this app; retried like a transient error, then kept for a person to look at
├── ProviderRejected      the model provider refused the request; retrying does not help
├── RunFailed             a run ended without an answer; its code says why
└── Cancelled             the run was cancelled on request
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar


class AppError(Exception):
    """The request could not be done.

    The first line of a class's docstring is what callers read as `detail`, unless the one who raises it says otherwise.

    Attributes:
        code: Stable machine-readable name, `snake_case`; instances may have a more specific one than their class.
        retriable: Whether the same request can succeed later.
        retry_after_s: Seconds to wait before retrying; None when unknown.
        fields: For invalid input, the faults by JSON pointer (`/spec/model`), never the values.
    """

    code: str = "error"
    retriable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        retry_after_s: float | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip().splitlines()[0]
        if code is not None:
            self.code = code
        self.retry_after_s = retry_after_s
        self.fields = dict(fields or {})
        super().__init__(self.detail)


class InvalidInput(AppError):
    """The request is not valid."""

    code = "invalid_input"


class TooLarge(InvalidInput):
    """The request is over a size limit."""

    code = "too_large"


class Forbidden(AppError):
    """You may not do this."""

    code = "forbidden"


class NotFound(AppError):
    """There is no such thing in this workspace."""

    code = "not_found"


class Conflict(AppError):
    """The current state does not allow this."""

    code = "conflict"


class EtagMismatch(Conflict):
    """It was changed since you read it; read it again and repeat your change."""

    code = "etag_mismatch"


class TooManyRequests(AppError):
    """There is no room for it now; try again later."""

    code = "too_many_requests"
    retriable = True


class Unavailable(AppError):
    """A dependency is unavailable for now; try again later."""

    code = "unavailable"
    retriable = True


class InternalError(AppError):
    """Something unexpected went wrong on our side."""

    code = "internal_error"
    retriable = True


class ProviderRejected(AppError):
    """The model provider refused the request."""

    code = "provider_rejected"


class RunFailed(AppError):
    """The run failed."""

    code = "run_failed"


class Cancelled(AppError):
    """The run was cancelled on request."""

    code = "cancelled"


def one_of(values: Sequence[str]) -> str:
    """Return the allowed values as a readable list for an error's detail."""
    return ", ".join(sorted(values))
