"""Request and response models of routes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field, StrictBool, StringConstraints, model_validator

from kernel.errors import InvalidInput
from kernel.ids import MODEL_NAME
from llmops.routing.deployment_health import State
from llmops.routing.route import MOST_DEPLOYMENTS, Deployment, DeploymentKind, Route
from llmops.spend.pricing import Rate
from triggers.http.base_models import Body, Page, View

if TYPE_CHECKING:
    from llmops.routing.status import DeploymentStatus, RouteStatus

Usd = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=18, decimal_places=9)]
_KEYS = frozenset({"api_key", "apikey", "api-key", "key", "secret", "token", "password", "authorization", "headers"})


class DeploymentPriceBody(Body):
    """The price of a deployment, in USD per million tokens; cache rates left out are those of input."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None


class DeploymentBody(Body):
    """One target of a route's calls.

    Attributes:
        name: Its name in the route.
        provider: `openai` for any endpoint with the Chat Completions API, `azure_openai` for an Azure OpenAI resource,
            `offline` for the built-in stand-in.
        model: The model or deployment name at the endpoint.
        endpoint: Base URL including the version, or that of the Azure resource; default the app's own.
        api_version: API version of an Azure resource; default its `v1` API.
        key_setting: The app setting that holds the key, as `{"origin": "https://…", "key": "…"}`.
        identity: Whether to authenticate to an Azure host as the app, with Entra ID.
        priority: 1 is tried first; higher numbers only when no lower one can take the call.
        weight: Relative share of the sessions among deployments of the same priority.
        tpm: Tokens per minute that it takes.
        rpm: Requests per minute that it takes.
        price: Its price, where it differs from the model's own or public price.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$")]
    provider: DeploymentKind = "openai"
    model: Annotated[str, StringConstraints(pattern=f"^{MODEL_NAME}$")]
    endpoint: Annotated[str, StringConstraints(min_length=1, max_length=2048)] | None = None
    api_version: Annotated[str, StringConstraints(pattern=r"^[0-9a-z.-]{1,32}$")] | None = None
    key_setting: Annotated[str, StringConstraints(pattern=r"^MODEL_KEY_[A-Z0-9_]{1,64}$")] | None = None
    identity: StrictBool = False
    priority: Annotated[int, Field(ge=1, le=100)] = 1
    weight: Annotated[int, Field(ge=1, le=1000)] = 1
    tpm: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    rpm: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    price: DeploymentPriceBody | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_keys(cls, value: Any) -> Any:
        """Refuse keys before any part of the body is echoed in an error."""
        names = cast("Mapping[Any, Any]", value) if isinstance(value, Mapping) else {}
        if any(str(name).lower() in _KEYS for name in names):
            msg = "A route holds no keys. Put the key into an app setting, and name that: key_setting."
            raise InvalidInput(msg, code="key_in_body", fields={"/deployments": "name a setting: key_setting"})
        return value

    def of(self) -> Deployment:
        """Return the deployment."""
        price = self.price
        rate = None
        if price is not None:
            rate = Rate(self.model, price.input, price.output, price.cached_input, price.cache_write)
        return Deployment(
            self.name,
            self.provider,
            self.model,
            (self.endpoint or "").rstrip("/"),
            self.api_version or "",
            self.key_setting or "",
            self.identity,
            self.priority,
            self.weight,
            self.tpm,
            self.rpm,
            rate,
        )


class RouteBody(Body):
    """A route."""

    deployments: Annotated[tuple[DeploymentBody, ...], Field(min_length=1, max_length=MOST_DEPLOYMENTS)]

    def of(self, name: str) -> Route:
        """Return the route of that name."""
        return Route(name, tuple(each.of() for each in self.deployments))


class DeploymentPriceView(View):
    """What a deployment costs, in USD per million tokens."""

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None


class DeploymentView(View):
    """One target of a route's calls."""

    name: str
    provider: DeploymentKind
    model: str
    endpoint: str | None
    api_version: str | None
    key_setting: str | None
    identity: bool
    priority: int
    weight: int
    tpm: int | None
    rpm: int | None
    price: DeploymentPriceView | None

    @classmethod
    def fields_of(cls, one: Deployment) -> dict[str, Any]:
        """Return the fields of a deployment's view."""
        plain = ("name", "provider", "model", "identity", "priority", "weight", "tpm", "rpm")
        named = ("endpoint", "api_version", "key_setting")
        return {
            **{name: getattr(one, name) for name in plain},
            **{name: getattr(one, name) or None for name in named},
            "price": DeploymentPriceView.of(one.rate) if one.rate else None,
        }


class RouteView(View):
    """A route."""

    name: str
    deployments: Sequence[DeploymentView]

    @classmethod
    def from_route(cls, route: Route) -> RouteView:
        """Return the view of a route."""
        views = [DeploymentView(**DeploymentView.fields_of(one)) for one in route.deployments]
        return cls(name=route.name, deployments=views)


class RoutePage(Page[RouteView]):
    """Routes by name."""


class UsedView(View):
    """Calls, their tokens, and how many of the calls failed or were refused."""

    requests: int
    tokens: int
    failures: int


class RemainingView(View):
    """The remaining quota a deployment reported, and until when the report is valid."""

    requests: int | None
    tokens: int | None
    until: datetime


class DeploymentStatusView(DeploymentView):
    """A deployment and its status, as shared between workers.

    Attributes:
        available: Whether it takes calls now.
        breaker: State of its circuit breaker: `closed` lets all calls through, `open` none, `half_open` one at a time.
        failures: Consecutive failures while the breaker is closed.
        last_failure: Error code of the last failure; null after a success.
        open_until: When the breaker becomes half-open; null while it is closed.
        throttled_until: Until when it asked to receive no calls; null without such a request.
        minute: What all workers sent to it in the current minute.
        recent: What all workers sent to it in the last five minutes.
        share: Its share of the route's calls in that time, 0-1; null without calls.
        remaining: The remaining quota it reported; null where there is enough.
    """

    available: bool
    breaker: State
    failures: int
    last_failure: str | None
    open_until: datetime | None
    throttled_until: datetime | None
    minute: UsedView
    recent: UsedView
    share: float | None
    remaining: RemainingView | None

    @classmethod
    def from_status(cls, status: DeploymentStatus) -> DeploymentStatusView:
        """Return the view of a deployment's status."""
        health = status.health
        return cls(
            **cls.fields_of(status.deployment),
            available=status.available,
            breaker=status.state,
            failures=health.failures,
            last_failure=health.code or None,
            open_until=health.open_until,
            throttled_until=health.throttled_until if status.throttled else None,
            minute=UsedView.of(status.minute),
            recent=UsedView.of(status.recent),
            share=None if status.share is None else round(status.share, 4),
            remaining=RemainingView.of(status.remaining) if status.remaining else None,
        )


class RouteStatusView(View):
    """A route, and the status of its deployments."""

    name: str
    deployments: Sequence[DeploymentStatusView]

    @classmethod
    def from_status(cls, status: RouteStatus) -> RouteStatusView:
        """Return the view of a route's status."""
        return cls(name=status.name, deployments=[DeploymentStatusView.from_status(one) for one in status.deployments])
