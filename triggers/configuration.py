"""HTTP: what agents are composed of: templates, personalities, capabilities, and a workspace's overrides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.services import Services
from kernel.errors import InvalidInput
from kernel.ids import agent_name, user_id
from lifecycle.configuration.dependents import dependent_key
from lifecycle.configuration.items import Item
from lifecycle.configuration.kinds import CONTENT, OVERRIDES, Kind, Ref, item_name
from lifecycle.configuration.preferences import Preferences
from lifecycle.propagation.following import config_of
from triggers.agents import PAGING
from triggers.api import Api, Call, Endpoint, Reply, index, page_token
from triggers.views.base import FailureView, Page
from triggers.views.configuration import (
    CapabilityPage,
    CapabilityView,
    DependentPage,
    DependentView,
    EffectiveView,
    ItemView,
    OverridesPage,
    OverridesView,
    PersonalityPage,
    PersonalityView,
    PreferencesView,
    TemplatePage,
    TemplateView,
)


@dataclass(frozen=True, slots=True)
class _Resource:
    """How a kind of items appears in the API."""

    kind: Kind
    path: str
    view: type[ItemView]
    page: type[Page[Any]]

    def ref(self, call: Call) -> Ref:
        return OVERRIDES if self.kind is Kind.OVERRIDES else Ref(self.kind, item_name(self.kind, call.route("name")))


_NAMED = (
    _Resource(Kind.TEMPLATE, "templates", TemplateView, TemplatePage),
    _Resource(Kind.PERSONALITY, "personalities", PersonalityView, PersonalityPage),
    _Resource(Kind.CAPABILITY, "capabilities", CapabilityView, CapabilityPage),
)
_OVERRIDES = _Resource(Kind.OVERRIDES, "overrides", OverridesView, OverridesPage)


def register(api: Api, services: Services) -> None:
    """Add the endpoints of what agents are composed of."""
    for resource in _NAMED:
        _register_lists(api, services, resource)
        _register_item(api, services, resource, f"{resource.path}/{{name}}", f"a {resource.kind.value}")
    _register_item(api, services, _OVERRIDES, "overrides", "the workspace's overrides")

    @api.handle(
        Endpoint(
            "GET",
            "agents/{name}/effective",
            "agents_effective",
            "What an agent comes to, with the origin of every value.",
            returns=EffectiveView,
            errors=(404,),
        )
    )
    async def effective(call: Call) -> Reply:
        agent = await services.catalog.get(call.workspace, agent_name(call.route("name")))
        declared = config_of(agent)
        try:
            resolved = await services.composer.sources(call.workspace).resolve(declared)
        except InvalidInput as error:
            return Reply(EffectiveView.from_problem(agent, declared, FailureView.of(error)))
        return Reply(EffectiveView.from_resolved(agent, declared, resolved))

    _register_preferences(api, services)


def _register_preferences(api: Api, services: Services) -> None:
    path = "users/{user_id}/preferences"

    @api.handle(
        Endpoint(
            "GET", path, "preferences_get", "Get what a user usually prefers.", returns=PreferencesView, errors=(404,)
        )
    )
    async def get(call: Call) -> Reply:
        found = await services.users.get(call.workspace, user_id(call.route("user_id")))
        return Reply(PreferencesView.of(found), headers={"ETag": found.etag})

    @api.handle(
        Endpoint(
            "PUT",
            path,
            "preferences_put",
            "Set what a user usually prefers, for the sessions that start from now on.",
            body=Preferences,
            returns=PreferencesView,
            also=201,
            errors=(412,),
        )
    )
    async def put(call: Call) -> Reply:
        who = user_id(call.route("user_id"))
        kept, new = await services.users.put(call.workspace, who, call.body, call.header("if-match"))
        headers = {"ETag": kept.etag} | ({"Location": f"/api/users/{who}/preferences"} if new else {})
        return Reply(PreferencesView.of(kept), 201 if new else 200, headers)

    @api.handle(
        Endpoint(
            "DELETE", path, "preferences_delete", "Forget what a user usually prefers.", status=204, errors=(404, 412)
        )
    )
    async def delete(call: Call) -> Reply:
        await services.users.delete(call.workspace, user_id(call.route("user_id")), call.header("if-match"))
        return Reply(status=204)


def _register_item(api: Api, services: Services, resource: _Resource, path: str, what: str) -> None:
    named = resource.kind is not Kind.OVERRIDES

    @api.handle(
        Endpoint(
            "GET",
            path,
            f"{resource.path}_get",
            f"Get {what}.",
            returns=resource.view,
            errors=(404,) if named else (),
        )
    )
    async def get(call: Call) -> Reply:
        ref = resource.ref(call)
        item = await (services.items.get if named else services.items.find)(call.workspace, ref)
        return Reply(resource.view.from_item(item), headers={"ETag": item.etag})

    @api.handle_with_signals(
        Endpoint(
            "PUT",
            path,
            f"{resource.path}_put",
            f"Set {what}; the agents composed of it follow. A change that one could not follow is refused.",
            body=CONTENT[resource.kind],
            returns=resource.view,
            also=201,
            errors=(409, 412, 413),
        )
    )
    async def put(call: Call) -> Reply:
        ref = resource.ref(call)
        changed = await services.changes.put(call.workspace, ref, call.body, call.signals, call.header("if-match"))
        location = f"/api/{path.format(name=ref.name)}"
        headers = {"ETag": changed.item.etag} | ({"Location": location} if changed.new else {})
        view = resource.view.from_item(changed.item, changed.followed)
        return Reply(view, 201 if changed.new else 200, headers)

    @api.handle_with_signals(
        Endpoint(
            "DELETE",
            path,
            f"{resource.path}_delete",
            f"Delete {what}; of what the app brings, its own is back then. What is in use is kept.",
            status=204,
            errors=(404, 409, 412),
        )
    )
    async def delete(call: Call) -> Reply:
        ref = resource.ref(call)
        await services.changes.delete(call.workspace, ref, call.signals, call.header("if-match"))
        return Reply(status=204)

    @api.handle(
        Endpoint(
            "GET",
            f"{path}/versions",
            f"{resource.path}_versions",
            f"List the versions of {what}, newest first.",
            returns=resource.page,
            query=PAGING,
        )
    )
    async def versions(call: Call) -> Reply:
        found, before = await services.items.versions(
            call.workspace, resource.ref(call), call.limit(), call.cursor(index)
        )
        return Reply(_page(resource, found, before))


def _register_lists(api: Api, services: Services, resource: _Resource) -> None:
    @api.handle(
        Endpoint(
            "GET",
            resource.path,
            f"{resource.path}_list",
            f"List {resource.path} by name, the app's own included.",
            returns=resource.page,
            query=PAGING,
        )
    )
    async def listing(call: Call) -> Reply:
        after = call.cursor(lambda value: item_name(resource.kind, value))
        found, after = await services.items.list(call.workspace, resource.kind, call.limit(), after)
        return Reply(_page(resource, found, after))

    @api.handle(
        Endpoint(
            "GET",
            f"{resource.path}/{{name}}/dependents",
            f"{resource.path}_dependents",
            f"List who is composed of a {resource.kind.value}.",
            returns=DependentPage,
            query=PAGING,
            errors=(404,),
        )
    )
    async def dependents(call: Call) -> Reply:
        ref = resource.ref(call)
        await services.items.get(call.workspace, ref)
        found, after = await services.changes.dependents(call.workspace, ref, call.limit(), call.cursor(dependent_key))
        items = [DependentView(kind=who.kind.value, name=who.name) for who in found]
        return Reply(DependentPage(items=items, next=page_token(after)))


def _page(resource: _Resource, items: Sequence[Item], after: str | int | None) -> Page[Any]:
    return resource.page(items=[resource.view.from_item(item) for item in items], next=page_token(after))
