"""The layers that agents are composed of: templates, personalities, capabilities, overrides, user preferences."""

from __future__ import annotations

from collections.abc import Sequence

from triggers.http.endpoint import PAGING, Endpoint


def _item(kind: str, resource: str, path: str, what: str, errors: Sequence[int]) -> Sequence[Endpoint]:
    """Return the endpoints of one item; their handlers tell the kind from the path."""
    return (
        Endpoint(
            "GET", path, f"{resource}_get", f"Get {what}.", returns=f"{kind}View", errors=errors, handler="item_get"
        ),
        Endpoint(
            "PUT",
            path,
            f"{resource}_put",
            f"Set {what}; the agents composed of it are updated. A change that one of them cannot take is refused.",
            body=f"lifecycle.configuration.layers:{kind}",
            returns=f"{kind}View",
            also=201,
            errors=(409, 412, 413),
            signals=True,
            handler="item_put",
        ),
        Endpoint(
            "DELETE",
            path,
            f"{resource}_delete",
            f"Delete {what}; a built-in one is then restored. An item in use cannot be deleted.",
            status=204,
            errors=(404, 409, 412),
            signals=True,
            handler="item_delete",
        ),
        Endpoint(
            "GET",
            f"{path}/versions",
            f"{resource}_versions",
            f"List the versions of {what}, newest first.",
            returns=f"{kind}Page",
            query=PAGING,
            errors=errors,
            handler="item_versions",
        ),
    )


def _named(kind: str, resource: str) -> Sequence[Endpoint]:
    """Return the endpoints of a kind of named items."""
    return (
        Endpoint(
            "GET",
            resource,
            f"{resource}_list",
            f"List {resource} by name, including built-in ones.",
            returns=f"{kind}Page",
            query=PAGING,
            handler="items_list",
        ),
        *_item(kind, resource, f"{resource}/{{name}}", f"a {kind.lower()}", (404,)),
        Endpoint(
            "GET",
            f"{resource}/{{name}}/dependents",
            f"{resource}_dependents",
            f"List the users of a {kind.lower()}.",
            returns="DependentPage",
            query=PAGING,
            errors=(404,),
            handler="item_dependents",
        ),
    )


_PREFERENCES = "users/{user_id}/preferences"

ENDPOINTS = (
    *_named("Template", "templates"),
    *_named("Personality", "personalities"),
    *_named("Capability", "capabilities"),
    *_item("Overrides", "overrides", "overrides", "the workspace's overrides", ()),
    Endpoint(
        "GET",
        "agents/{name}/effective",
        "agents_effective",
        "Get an agent's effective configuration, with the origin of every value.",
        returns="EffectiveView",
        errors=(404,),
    ),
    Endpoint(
        "GET",
        _PREFERENCES,
        "preferences_get",
        "Get a user's preferences.",
        returns="PreferencesView",
        errors=(404,),
    ),
    Endpoint(
        "PUT",
        _PREFERENCES,
        "preferences_put",
        "Set a user's preferences, for sessions that start from now on.",
        body="lifecycle.configuration.preferences:Preferences",
        returns="PreferencesView",
        also=201,
        errors=(412,),
    ),
    Endpoint(
        "DELETE",
        _PREFERENCES,
        "preferences_delete",
        "Delete a user's preferences.",
        status=204,
        errors=(404, 412),
    ),
)
