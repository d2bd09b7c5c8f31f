"""Budgets and their usage."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, TEXT_ID, Endpoint, Parameter

_CHARGED = {
    "agent": Parameter("Only limits that apply to this agent …", AGENT_NAME),
    "user": Parameter("… to this user …", TEXT_ID),
    "session": Parameter("… to this session …", TEXT_ID),
    "run": Parameter("… and to this run.", {"type": "string", "format": "uuid"}),
}

ENDPOINTS = (
    Endpoint("GET", "usage", "usage", "Get the usage of each budget.", returns="UsagePage", query=PAGING | _CHARGED),
    Endpoint(
        "GET",
        "usage/waiting",
        "usage_waiting",
        "List the runs that wait for a budget, oldest first. A page may be short before the last.",
        returns="BlockedRunPage",
        query=PAGING,
    ),
    Endpoint("GET", "budgets", "budgets_list", "List budgets by scope.", returns="BudgetPage", query=PAGING),
    Endpoint("GET", "budgets/{scope}", "budgets_get", "Get a budget.", returns="BudgetView", errors=(404,)),
    Endpoint(
        "PUT",
        "budgets/{scope}",
        "budgets_put",
        "Set the budget of a scope; waiting runs that it now allows continue.",
        body="BudgetBody",
        returns="BudgetView",
        also=201,
        errors=(412,),
    ),
    Endpoint("DELETE", "budgets/{scope}", "budgets_delete", "Delete a budget.", status=204, errors=(404, 412)),
)
