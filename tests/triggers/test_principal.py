"""Whose request it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.errors import AppError, InvalidInput
from kernel.settings import Settings
from triggers.http.caller_identity import workspace_of
from triggers.http.error_responses import Unauthorized

TENANT = "72f988bf-86f1-41af-91ab-2d7cd011db47"
KEYS = Settings()
TRUSTING = Settings.from_environment({"TRUST_WORKSPACE_HEADER": "true"})
ENTRA = Settings.from_environment({"AUTH_MODE": "entra", "TRUST_WORKSPACE_HEADER": "true"})


def principal(value: Any) -> dict[str, str]:
    """Return the header that App Service authentication makes."""
    return {"x-ms-client-principal": base64.b64encode(json.dumps(value).encode()).decode()}


def claims(**values: str) -> dict[str, str]:
    """Return the header of a principal with these claims."""
    found = [{"typ": name, "val": value} for name, value in values.items()]
    return principal({"auth_typ": "aad", "claims": found, "name_typ": "name", "role_typ": "roles"})


def test_keys_mean_the_default_workspace() -> None:
    """Without a trusted gateway nothing that a caller sends names a workspace."""
    assert workspace_of({}, KEYS) == "default"
    assert workspace_of({"x-workspace": "mine"} | claims(tid=TENANT), KEYS) == "default"


def test_a_trusted_gateway_names_the_workspace() -> None:
    """The header counts where the setting says so, and has to be valid."""
    assert workspace_of({}, TRUSTING) == "default"
    assert workspace_of({"x-workspace": "team-a"}, TRUSTING) == "team-a"
    for name in ("", "A", "a b", "a!b", "a/b", "-a", "a_b", "ä", "x" * 64):
        with pytest.raises(InvalidInput, match="workspace"):
            workspace_of({"x-workspace": name}, TRUSTING)


def test_entra_takes_the_configured_claim() -> None:
    """The workspace is the claim's value, in lower case; the header of a gateway does not count."""
    department = Settings.from_environment({"AUTH_MODE": "entra", "WORKSPACE_CLAIM": "department"})

    assert workspace_of(claims(oid="1", tid=TENANT), ENTRA) == TENANT
    assert workspace_of(claims(tid=TENANT.upper()) | {"x-workspace": "mine"}, ENTRA) == TENANT
    assert workspace_of(claims(tid=TENANT, department="Sales-1"), department) == "sales-1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-workspace": "mine"},
        {"x-ms-client-principal": ""},
        {"x-ms-client-principal": "not base64!"},
        {"x-ms-client-principal": base64.b64encode(b"\xff{").decode()},
        {"x-ms-client-principal": base64.b64encode(b"[" * 100_000).decode()},
        *map(principal, (None, [], "x", {}, {"claims": None}, {"claims": {}}, {"claims": ["x"]}, {"claims": [{}]})),
        principal({"claims": [{"typ": "tid"}]}),
        claims(oid="1"),
        claims(tid=""),
        claims(tid="a/b"),
        claims(tid="a" * 64),
    ],
)
def test_no_usable_claim_is_unauthorized(headers: dict[str, str]) -> None:
    """Whatever is wrong with the principal, the request has no workspace; the default is never fallen back to."""
    with pytest.raises(Unauthorized) as caught:
        workspace_of(headers, ENTRA)

    assert caught.value.code == "no_workspace"


@given(st.binary(max_size=200))
def test_any_header_is_answered(value: bytes) -> None:
    """Nothing that could stand in the header is more than unauthorized."""
    for text in (value.decode("latin-1"), base64.b64encode(value).decode()):
        with pytest.raises(AppError):
            workspace_of({"x-ms-client-principal": text}, ENTRA)
