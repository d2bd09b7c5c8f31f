"""Errors of a Foundry project as the app's errors; the service's texts are read, but never passed on."""

from __future__ import annotations

import re
from datetime import datetime
from json import JSONDecodeError
from typing import Any

from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from openai import APIStatusError

from adapters.providers import openai_failures
from adapters.providers.failures import causes, own_error
from adapters.providers.openai_failures import named_wait_s
from kernel.errors import AppError, ProviderRejected, Unavailable

_ROLE = "the role 'Foundry User' (formerly 'Azure AI User') on the Foundry project"
_WORD = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_NO_MODEL = frozenset({"deploymentnotfound", "model_not_found", "modelnotfound", "unknown_model"})


def translate(error: Exception, now: datetime) -> AppError:
    """Return the app's error for an exception of the project, or of an agent's run."""
    if ours := own_error(error):
        return ours
    if isinstance(error, JSONDecodeError):  # the SDK tries to parse a gateway's page as the project's response
        return _unavailable("sent what is no answer")
    for cause in causes(error):
        match cause:
            case ClientAuthenticationError() if cause.response is None:
                return _unauthorised("no token could be got for it")
            case HttpResponseError():
                return _refused(cause.status_code or 0, *_said(cause), wait_s=_wait_s(cause, now))
            case ServiceRequestError() | ServiceResponseError():
                return _unavailable("cannot be reached, or the connection broke")
            case APIStatusError() if found := _in_a_run(cause):
                return found
            case _:
                continue
    return openai_failures.translate(error, now)


def _in_a_run(error: APIStatusError) -> AppError | None:
    """Return the error of a refused model call where it has a special meaning at Foundry; None otherwise."""
    code, text = (error.code or "").lower(), str(error.message).lower()
    if error.status_code in (400, 401, 403, 409) and (known := _known(error.status_code, code, text)):
        return known
    if error.status_code == 404 and code not in _NO_MODEL:
        if "conversation" in text:
            msg = "The session's conversation no longer exists in the Foundry project; a new one is started."
            return Unavailable(msg, code="conversation_gone")
        msg = "The agent's version no longer exists in the Foundry project; it is created again."
        return Unavailable(msg, code="agent_version_gone")
    return None


def _refused(status: int, code: str, text: str, *, wait_s: float | None) -> AppError:
    """Return the error for a refused request about agents."""
    if known := _known(status, code, text):
        return known
    if status == 429:
        msg = "The Foundry project is throttling."
        return Unavailable(msg, code="provider_throttled", retry_after_s=wait_s)
    if status < 400:  # the request succeeded, but the response is not the service's: a gateway's page
        return _unavailable("sent what is no answer")
    if status in (408, 409, 425) or status >= 500:
        return _unavailable(f"answered {status}", wait_s)
    named = f" ({code})" if _WORD.fullmatch(code) else ""
    return ProviderRejected(f"The Foundry project rejected the request with {status}{named}.")


def _known(status: int, code: str, text: str) -> AppError | None:
    if code == "preview_feature_required":
        msg = "What the agent's spec asks for is in preview at Foundry, and this app uses no previews."
        return ProviderRejected(msg, code="preview_feature_required")
    if status in (400, 403, 409) and "disabled" in f"{code} {text}" and "agent" in text:
        msg = "The agent is disabled in the Foundry project; enable it."
        return ProviderRejected(msg, code="provider_disabled")
    if status in (401, 403):
        return _unauthorised(f"it answered {status}")
    return None


def _said(error: HttpResponseError) -> tuple[str, str]:
    """Return the service's code and message in lower case, for comparison only."""
    model: Any = error.model
    inner = getattr(model, "error", None)
    code, message = getattr(inner, "code", None), getattr(inner, "message", None)
    return str(code or "").lower(), str(message or "").lower()


def _wait_s(error: HttpResponseError, now: datetime) -> float | None:
    response: Any = error.response
    return None if response is None else named_wait_s(response.headers, now)


def _unavailable(what: str, retry_after_s: float | None = None) -> Unavailable:
    return Unavailable(f"The Foundry project {what}.", code="provider_unavailable", retry_after_s=retry_after_s)


def _unauthorised(why: str) -> ProviderRejected:
    msg = f"The Foundry project does not let this app in: {why}. The app's identity needs {_ROLE}."
    return ProviderRejected(msg, code="provider_auth")
