"""Handlers of configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernel.errors import InvalidInput
from kernel.ids import agent_name, user_id
from kernel.lazy_dataclass import dataclass
from lifecycle.configuration.dependents import dependent_key
from lifecycle.configuration.kinds import OVERRIDES, Kind, Ref, item_name
from lifecycle.configuration.store import ConfigurationItem
from lifecycle.propagation.propagation import config_of
from triggers.http.base_models import FailureView, Page
from triggers.http.configuration.views import (
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
from triggers.http.handler_call import Call, Reply, at, index, page_token


@dataclass(frozen=True, slots=True)
class _Resource:
    """How a kind of items appears in the API."""

    kind: Kind
    path: str
    view: type[ItemView]
    page: type[Page[Any]]

    def ref(self, call: Call) -> Ref:
        return OVERRIDES if self.kind is Kind.OVERRIDES else Ref(self.kind, item_name(self.kind, call.route("name")))


_RESOURCES = {
    each.path: each
    for each in (
        _Resource(Kind.TEMPLATE, "templates", TemplateView, TemplatePage),
        _Resource(Kind.PERSONALITY, "personalities", PersonalityView, PersonalityPage),
        _Resource(Kind.CAPABILITY, "capabilities", CapabilityView, CapabilityPage),
        _Resource(Kind.OVERRIDES, "overrides", OverridesView, OverridesPage),
    )
}


def _asked(call: Call) -> _Resource:
    """Return the kind of items of a call, by the first segment of its path."""
    return _RESOURCES[call.endpoint.path.partition("/")[0]]


def _page(resource: _Resource, items: Sequence[ConfigurationItem], after: str | int | None) -> Page[Any]:
    return resource.page(items=[resource.view.from_item(item) for item in items], next=page_token(after))


async def agents_effective(call: Call) -> Reply:
    agent = await call.services.agents.catalog.get(call.workspace, agent_name(call.route("name")))
    declared = config_of(agent)
    try:
        resolved = await call.services.configuration.composer.sources(call.workspace).resolve(declared)
    except InvalidInput as error:
        return Reply(EffectiveView.from_problem(agent, declared, FailureView.of(error)))
    servers = await call.services.agents.offered_tools.compare(call.workspace, agent.name, agent.declaration.spec)
    return Reply(EffectiveView.from_resolved(agent, declared, resolved, servers))


async def preferences_get(call: Call) -> Reply:
    found = await call.services.configuration.users.get(call.workspace, user_id(call.route("user_id")))
    return Reply(PreferencesView.of(found), headers={"ETag": found.etag})


async def preferences_put(call: Call) -> Reply:
    who = user_id(call.route("user_id"))
    kept, new = await call.services.configuration.users.put(call.workspace, who, call.body, call.header("if-match"))
    headers = {"ETag": kept.etag} | (at("users", who, "preferences") if new else {})
    return Reply(PreferencesView.of(kept), 201 if new else 200, headers)


async def preferences_delete(call: Call) -> Reply:
    await call.services.configuration.users.delete(
        call.workspace, user_id(call.route("user_id")), call.header("if-match")
    )
    return Reply(status=204)


async def item_get(call: Call) -> Reply:
    resource, items = _asked(call), call.services.configuration.items
    named = resource.kind is not Kind.OVERRIDES
    item = await (items.get if named else items.find)(call.workspace, resource.ref(call))
    return Reply(resource.view.from_item(item), headers={"ETag": item.etag})


async def item_put(call: Call) -> Reply:
    resource = _asked(call)
    ref = resource.ref(call)
    changed = await call.services.agents.configuration_changes.put(
        call.workspace, ref, call.body, call.signals, call.header("if-match")
    )
    location = f"/api/{call.endpoint.path.format(name=ref.name)}"
    headers = {"ETag": changed.item.etag} | ({"Location": location} if changed.new else {})
    view = resource.view.from_item(changed.item, changed.followed)
    return Reply(view, 201 if changed.new else 200, headers)


async def item_delete(call: Call) -> Reply:
    ref = _asked(call).ref(call)
    await call.services.agents.configuration_changes.delete(call.workspace, ref, call.signals, call.header("if-match"))
    return Reply(status=204)


async def item_versions(call: Call) -> Reply:
    resource = _asked(call)
    ref, limit, before = resource.ref(call), call.limit(), call.cursor(index)
    found, earlier = await call.services.configuration.items.versions(call.workspace, ref, limit, before)
    if not found and before is None and resource.kind is not Kind.OVERRIDES:
        await call.services.configuration.items.get(call.workspace, ref)  # raises where there is no such item
    return Reply(_page(resource, found, earlier))


async def items_list(call: Call) -> Reply:
    resource = _asked(call)
    after = call.cursor(lambda value: item_name(resource.kind, value))
    found, after = await call.services.configuration.items.list(call.workspace, resource.kind, call.limit(), after)
    return Reply(_page(resource, found, after))


async def item_dependents(call: Call) -> Reply:
    ref = _asked(call).ref(call)
    await call.services.configuration.items.get(call.workspace, ref)
    found, after = await call.services.agents.configuration_changes.dependents(
        call.workspace, ref, call.limit(), call.cursor(dependent_key)
    )
    items = [DependentView(kind=who.kind.value, name=who.name) for who in found]
    return Reply(DependentPage(items=items, next=page_token(after)))
