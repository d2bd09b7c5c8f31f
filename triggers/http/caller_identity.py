"""The caller's identity and workspace. Neither ever comes from a body."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kernel.errors import InvalidInput
from kernel.ids import workspace_name
from kernel.settings import Settings
from kernel.strict_json import parse_json
from triggers.http.error_responses import Unauthorized

if TYPE_CHECKING:
    from lifecycle.approvals.approval import Person

DEFAULT_WORKSPACE = "default"
_IDS = frozenset(
    {"oid", "http://schemas.microsoft.com/identity/claims/objectidentifier", "preferred_username", "email", "upn"}
)
_ROLES = frozenset({"roles", "http://schemas.microsoft.com/ws/2008/06/identity/claims/role"})


def workspace_of(headers: dict[str, str], settings: Settings) -> str:
    """Return the caller's workspace.

    With AUTH_MODE `entra` it is a claim of the principal that App Service authentication puts in
    `X-MS-CLIENT-PRINCIPAL` (learn.microsoft.com/azure/app-service/configure-authentication-user-identities); the
    platform removes that header from what callers send. With `keys` it is `default`, or the `X-Workspace` header where
    a gateway is trusted to set it.

    Args:
        headers: The request's headers, by lower-case name.
        settings: Determines which of these applies.

    Raises:
        Unauthorized: The principal is missing, or has no claim with a workspace.
        InvalidInput: The header is not a valid workspace name.
    """
    if settings.auth_mode == "entra":
        return _claimed(headers.get("x-ms-client-principal", ""), settings.workspace_claim)
    if settings.trust_workspace_header:
        return workspace_name(headers.get("x-workspace", DEFAULT_WORKSPACE))
    return DEFAULT_WORKSPACE


def caller_of(name: str | None) -> str:
    """Return the caller's name for the audit trail, if App Service authentication has signed the caller in; else empty.

    Args:
        name: The header `X-MS-CLIENT-PRINCIPAL-NAME`. The platform removes it from what callers send; without its
            authentication anybody may send it, so it is only recorded and grants nothing.
    """
    return "".join(char for char in name or "" if char.isprintable())[:128]


def person_of(headers: Mapping[str, str], settings: Settings) -> Person:
    """Return the caller as authenticated by App Service; with AUTH_MODE `keys` an unknown person.

    Args:
        headers: The request's headers, by lower-case name.
        settings: Determines the authentication mode.
    """
    from lifecycle.approvals.approval import Person  # noqa: PLC0415 - it imports pydantic

    name = caller_of(headers.get("x-ms-client-principal-name"))
    if settings.auth_mode != "entra":
        return Person(name)
    try:
        claims = parse_json(base64.b64decode(headers.get("x-ms-client-principal", ""), validate=True))["claims"]
        found = [(str(item["typ"]), str(item["val"])) for item in claims]
    except (binascii.Error, ValueError, LookupError, TypeError):
        return Person(name)
    ids = {value for kind, value in found if kind in _IDS} | ({name} if name else set())
    roles = frozenset(value for kind, value in found if kind in _ROLES)
    return Person(name, frozenset(ids), roles, frozenset(value for kind, value in found if kind == "groups"))


def _claimed(principal: str, claim: str) -> str:
    try:
        claims = parse_json(base64.b64decode(principal, validate=True))["claims"]
        value = next(str(item["val"]) for item in claims if item["typ"] == claim)
        return workspace_name(value.lower())
    except (binascii.Error, ValueError, LookupError, TypeError, StopIteration, InvalidInput):
        msg = f"The signed-in principal has no usable claim {claim!r}."
        raise Unauthorized(msg, code="no_workspace") from None
