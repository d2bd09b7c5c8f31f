"""The invocation context a function receives when it declares an unbound `context` parameter."""

import contextvars
import secrets
import threading
from collections.abc import Mapping

import azure.functions as func
from azure.functions import _abc

#: Whether this is the run of a timer on its schedule, of which the log shows problems only unless it is verbose.
QUIET: contextvars.ContextVar[bool] = contextvars.ContextVar("quiet", default=False)
#: Shared by all invocations; a worker thread finds its invocation's id here.
THREAD_LOCAL = threading.local()


class TraceContext(_abc.TraceContext):
    """The W3C trace context of one invocation."""

    def __init__(self, trace_parent: str, trace_state: str = "", attributes: Mapping[str, str] | None = None) -> None:
        self._trace_parent, self._trace_state, self._attributes = trace_parent, trace_state, dict(attributes or {})

    @property
    def trace_parent(self) -> str:
        """The `traceparent` header value."""
        return self._trace_parent

    @property
    def trace_state(self) -> str:
        """The `tracestate` header value, empty if there is none."""
        return self._trace_state

    @property
    def attributes(self) -> dict[str, str]:
        """Attributes the host attaches to the trace."""
        return self._attributes


class RetryContext(_abc.RetryContext):
    """The position of an invocation in its retry policy."""

    def __init__(
        self, retry_count: int = 0, max_retry_count: int = 0, exception: _abc.RpcException | None = None
    ) -> None:
        self._retry_count, self._max_retry_count, self._exception = retry_count, max_retry_count, exception

    @property
    def retry_count(self) -> int:
        """Retries made before this execution; 0 on the first."""
        return self._retry_count

    @property
    def max_retry_count(self) -> int:
        """Most retries the policy allows; -1 for no limit."""
        return self._max_retry_count

    @property
    def exception(self) -> _abc.RpcException | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The exception of the previous execution; None if there was none."""
        return self._exception


class Context(func.Context):
    """The invocation context passed to a function."""

    def __init__(self, name: str, directory: str, invocation_id: str, trace: TraceContext, retry: RetryContext) -> None:
        self._name = name
        self._directory = directory
        self._invocation_id = invocation_id
        self._trace = trace
        self._retry = retry

    @property
    def invocation_id(self) -> str:
        """A UUID, new for every execution."""
        return self._invocation_id

    @property
    def thread_local_storage(self) -> threading.local:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Thread-local storage whose `invocation_id` a function can set in its own threads."""
        return THREAD_LOCAL

    @property
    def function_name(self) -> str:
        """The function's name in the app."""
        return self._name

    @property
    def function_directory(self) -> str:
        """The directory of the file that defines the function."""
        return self._directory

    @property
    def trace_context(self) -> TraceContext:
        """The invocation's W3C trace context."""
        return self._trace

    @property
    def retry_context(self) -> RetryContext:
        """The invocation's position in its retry policy."""
        return self._retry


def child_trace_parent(parent: str | None) -> str:
    """Return a `traceparent` for a span of the host's own, as a child of the caller's, or in a new trace.

    Args:
        parent: A W3C `traceparent`; a malformed one begins a new trace.
    """
    parts = (parent or "").split("-")
    if len(parts) == 4 and len(parts[1]) == 32 and len(parts[2]) == 16:
        return f"{parts[0]}-{parts[1]}-{secrets.token_hex(8)}-{parts[3]}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
