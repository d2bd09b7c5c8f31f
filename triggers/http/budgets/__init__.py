"""Budgets, and how much of them is used."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, TEXT_ID, Endpoint, Parameter

_CHARGED = {
    "agent": Parameter("Only what applies to this agent …", AGENT_NAME),
    "user": Parameter("… to this user …", TEXT_ID),
    "session": Parameter("… to this session …", TEXT_ID),
    "run": Parameter("… and to this run.", {"type": "string", "format": "uuid"}),
}

ENDPOINTS = (
    Endpoint("GET", "usage", "usage", "How much of each budget is used.", returns="UsagePage", query=PAGING | _CHARGED),
    Endpoint(
        "GET",
        "usage/waiting",
        "usage_waiting",
        "List the runs that wait for a budget, those asked first at the top. A page can be short before the last.",
        returns="BlockedRunPage",
        query=PAGING,
    ),
    Endpoint("GET", "budgets", "budgets_list", "List budgets by scope.", returns="BudgetPage", query=PAGING),
    Endpoint("GET", "budgets/{scope}", "budgets_get", "Get a budget.", returns="BudgetView", errors=(404,)),
    Endpoint(
        "PUT",
        "budgets/{scope}",
        "budgets_put",
        "Declare a scope's budget; runs that wait and have room again go on.",
        body="BudgetBody",
        returns="BudgetView",
        also=201,
        errors=(412,),
    ),
    Endpoint("DELETE", "budgets/{scope}", "budgets_delete", "Delete a budget.", status=204, errors=(404, 412)),
)
