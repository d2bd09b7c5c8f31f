"""Errors of a Chat Completions endpoint as the app's errors.

Details contain the status and the endpoint's short `code` and `param`, never its message, which may quote keys and
prompts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from agent_framework.exceptions import ChatClientContentFilterException, ChatClientException
from azure.core.exceptions import ClientAuthenticationError
from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, ContentFilterFinishReasonError

from adapters.providers.failures import causes, own_error, unknown_error
from adapters.providers.openai_answers import AnsweredError
from kernel.errors import AppError, ProviderRejected, Unavailable

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.\[\]-]{0,63}")
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation", "moderation_blocked"})
_PERMANENT_CODES = frozenset(
    {
        "context_length_exceeded",
        "exceed_context_size_error",
        "invalid_api_key",
        "invalid_prompt",
        "invalid_request_error",
        "model_not_found",
        "string_above_max_length",
        "unsupported_parameter",
        "unsupported_value",
    }
)
"""Error codes of failures that no retry helps, whatever their status."""
_PASSING = frozenset({408, 409, 425, 429})
_SPENT_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


def translate(error: Exception, now: datetime) -> AppError:
    """Return the app's error for an exception of an agent's run."""
    if ours := own_error(error):
        return ours
    for cause in causes(error):
        match cause:
            case ChatClientContentFilterException() | ContentFilterFinishReasonError():
                return content_filtered()
            case ClientAuthenticationError():
                return _unauthorised("no token could be got for the configured identity")
            case APIStatusError():
                return _refused(cause, cause.status_code, named_wait_s(cause.response.headers, now))
            case AnsweredError():
                return _refused(cause, cause.status_code, None)
            case APITimeoutError():
                return _unavailable("did not answer in time")
            case APIConnectionError():
                return _unavailable("cannot be reached, or the connection broke")
            case APIError():
                return _broke_off(cause)
            case _:
                continue
    # The framework's client wraps what it cannot parse, e.g. an error sent with status 200 or a gateway's HTML page.
    if any(isinstance(cause, ChatClientException) for cause in causes(error)):
        return unusable_answer()
    return unknown_error(error)


def content_filtered() -> ProviderRejected:
    """Return the error for a prompt or an answer that the provider's content filter stopped."""
    msg = "The model provider's content filter stopped the request or its answer; change the wording."
    return ProviderRejected(msg, code="content_filter")


def unusable_answer() -> Unavailable:
    """Return the error for an answer that is incomplete or missing."""
    return _unavailable("sent an answer that is incomplete or none at all")


def named_wait_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the seconds a response asks to wait (`Retry-After`, RFC 9110 §10.2.3); None without."""
    for header, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        text = headers.get(header, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
            return float(text) / unit
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo else None


def _refused(error: APIError, status: int, wait_s: float | None) -> AppError:
    """Return the error for an unsuccessful status."""
    detail = _detail(error)
    if error.code in _FILTER_CODES:
        return content_filtered()
    if status in (401, 403):
        return _unauthorised(f"it answered {status}{detail}")
    if status == 429 and error.code in _SPENT_CODES:
        return ProviderRejected(f"The account at the model provider has no quota left{detail}.")
    if status == 429:
        return Unavailable(
            f"The model provider is throttling{detail}.", code="provider_throttled", retry_after_s=wait_s
        )
    if error.code not in _PERMANENT_CODES and _may_pass(status):
        return _unavailable(f"answered {status}{detail}", wait_s)
    hint = "; check the agent's model and the endpoint" if status == 404 else ""
    return ProviderRejected(f"The model provider rejected the request with {status}{detail}{hint}.")


def _may_pass(status: int) -> bool:
    """Return whether the same request may succeed later; not so if it is not implemented (501, 505)."""
    return status in _PASSING or (status >= 500 and status not in (501, 505))


def _broke_off(error: APIError) -> AppError:
    """Return the error for one sent in the middle of a stream, which has no status of its own."""
    if error.code in _FILTER_CODES:
        return content_filtered()
    if error.code in _SPENT_CODES:
        return ProviderRejected(f"The account at the model provider has no quota left{_detail(error)}.")
    code: Any = error.code
    status = int(code) if isinstance(code, int) or str(code).isdecimal() else 0
    if error.code == "rate_limit_exceeded" or status == 429:
        return Unavailable(f"The model provider is throttling{_detail(error)}.", code="provider_throttled")
    if error.code in _PERMANENT_CODES or (400 <= status < 500 and not _may_pass(status)):
        return ProviderRejected(f"The model provider rejected the request in the middle of its answer{_detail(error)}.")
    return _unavailable(f"broke off its answer{_detail(error)}")


def _detail(error: APIError) -> str:
    """Return the endpoint's code and parameter in brackets if they are plain words, else an empty text."""
    words = [str(word) for word in (error.code, error.param) if word and _WORD.fullmatch(str(word))]
    return f" ({', '.join(words)})" if words else ""


def _unavailable(what: str, retry_after_s: float | None = None) -> Unavailable:
    return Unavailable(f"The model provider {what}.", code="provider_unavailable", retry_after_s=retry_after_s)


def _unauthorised(why: str) -> ProviderRejected:
    msg = f"The model provider does not let this app in: {why}. Check its key or the identity's role."
    return ProviderRejected(msg, code="provider_auth")
