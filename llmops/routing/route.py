"""Declared routes: deployments of models behind one name, used by specs with the provider `route`."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from kernel.errors import InvalidInput
from kernel.lazy_dataclass import dataclass
from llmops.notifications.webhook_addresses import target_of
from llmops.spend.pricing import Rate

PROVIDER = "route"
"""The provider of specs whose `model` is the name of a route."""
ROUTED = "routed"
"""Keyword argument of a model call that carries its `llmops.routing.router.Try`."""
DeploymentKind = Literal["openai", "azure_openai", "offline"]
MOST_DEPLOYMENTS = 16
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure.us", ".azure.cn")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One target of a route's calls.

    Attributes:
        name: Identifies it in its route, in facts and in metrics.
        provider: `openai` for any endpoint with the Chat Completions API, `azure_openai` for an Azure OpenAI resource,
            `offline` for the built-in stand-in.
        model: The model or deployment name at the endpoint.
        endpoint: Base URL of the API or resource; empty for the app's own.
        api_version: API version of an Azure resource; empty for its `v1` API.
        key_setting: The app setting with the API key and the origin it is for; empty without one.
        identity: Whether to authenticate as the app, with Entra ID.
        priority: 1 is tried first; higher numbers only when no lower one can take the call.
        weight: Relative share among deployments of the same priority.
        tpm: Tokens per minute it takes; None where no limit is declared.
        rpm: Requests per minute it takes; None where no limit is declared.
        rate: Its price, where it differs from the model's own rate or public price.
    """

    name: str
    provider: DeploymentKind
    model: str
    endpoint: str = ""
    api_version: str = ""
    key_setting: str = ""
    identity: bool = False
    priority: int = 1
    weight: int = 1
    tpm: int | None = None
    rpm: int | None = None
    rate: Rate | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A model name with several deployments.

    Attributes:
        name: Used as a spec's `model`.
        deployments: The deployments.
    """

    name: str
    deployments: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class CallTarget:
    """The target of one try of a model call, for pricing and recording.

    Attributes:
        provider: The provider.
        model: The requested model or deployment.
        deployment: The route's deployment, as `route/deployment`.
        rate: Its own rate; None for the model's.
    """

    provider: str
    model: str
    deployment: str
    rate: Rate | None = None


def check_route(route: Route, *, allow_private: bool) -> None:
    """Check a route beyond its types.

    Args:
        route: The route.
        allow_private: Whether plain http and private addresses are allowed, as on a developer's machine.

    Raises:
        InvalidInput: Two deployments have the same name (`duplicate_deployment`), one has fields that its provider does
            not
            allow (`invalid_deployment`), or an endpoint that routes must not reach (`route_endpoint_refused`).
    """
    names = [each.name for each in route.deployments]
    for index, each in enumerate(route.deployments):
        if names.index(each.name) != index:
            raise _invalid(index, "name", "is taken by another deployment of the route", "duplicate_deployment")
        _check(index, each, allow_private=allow_private)


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL: the origin that a key is bound to."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").rstrip("."), parts.port or (443 if parts.scheme == "https" else 80)


def _check(index: int, one: Deployment, *, allow_private: bool) -> None:
    if one.provider == "offline":
        given = [name for name in ("endpoint", "api_version", "key_setting", "identity") if getattr(one, name)]
        if given:
            raise _invalid(index, given[0], "has no effect with the provider 'offline'")
        return
    if not one.endpoint:
        given = [name for name in ("api_version", "key_setting", "identity") if getattr(one, name)]
        if given or one.provider == "azure_openai":
            raise _invalid(index, "endpoint", "is needed; without one, only the app's own 'openai' endpoint is meant")
        return
    if one.api_version and one.provider != "azure_openai":
        raise _invalid(index, "api_version", "belongs to the provider 'azure_openai'")
    if one.identity and one.key_setting:
        raise _invalid(index, "identity", "is an identity or a key_setting, not both")
    try:
        target = target_of(one.endpoint, allow_private=allow_private)
    except InvalidInput:
        raise _invalid(
            index, "endpoint", "is an https URL of a public address without user or password", "route_endpoint_refused"
        ) from None
    if "?" in target.path:
        raise _invalid(index, "endpoint", "has no query", "route_endpoint_refused")
    if one.identity and not (target.scheme == "https" and f".{target.host}".endswith(_AZURE)):
        raise _invalid(index, "identity", "is shown to Azure's own hosts only", "route_endpoint_refused")


def _invalid(index: int, field: str, why: str, code: str = "invalid_deployment") -> InvalidInput:
    msg = f"{field} of deployment {index + 1} {why}."
    return InvalidInput(msg, code=code, fields={f"/deployments/{index}/{field}": why})
