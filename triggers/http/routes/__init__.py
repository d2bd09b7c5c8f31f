"""Routes: several deployments behind one model name."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint("GET", "routes", "routes_list", "List routes by name.", returns="RoutePage", query=PAGING),
    Endpoint(
        "GET",
        "routes/{name}",
        "routes_get",
        "Get a route, and the status of each of its deployments.",
        returns="RouteStatusView",
        errors=(404,),
    ),
    Endpoint(
        "PUT",
        "routes/{name}",
        "routes_put",
        "Set a route: several deployments behind one name, used as `model` by specs with the provider `route`.",
        body="RouteBody",
        returns="RouteView",
        also=201,
        errors=(412,),
    ),
    Endpoint("DELETE", "routes/{name}", "routes_delete", "Delete a route.", status=204, errors=(404, 412)),
)
