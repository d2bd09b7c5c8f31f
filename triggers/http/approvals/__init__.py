"""Approvals: what waits for a person's decision, what was decided, and what demands it."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, Endpoint, Parameter, choice

ENDPOINTS = (
    Endpoint(
        "GET",
        "approvals",
        "approvals_list",
        "List approvals, those of the oldest runs first: what waits for a decision, unless another state is asked for.",
        returns="ApprovalPage",
        query=PAGING
        | {
            "state": choice(
                "In this state; `pending` unless given.",
                "pending",
                "closed",
                *("approved", "rejected", "expired", "withdrawn"),
            ),
            "agent": Parameter("Of this agent.", AGENT_NAME),
            "run": Parameter("Of this run.", {"type": "string", "format": "uuid"}),
        },
    ),
    Endpoint(
        "GET",
        "approvals/{id}",
        "approvals_get",
        "Get an approval: what is to be decided, with its arguments, by whom, and until when.",
        returns="ApprovalView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "approvals/{id}/decision",
        "approvals_decide",
        "Decide an approval; its run goes on once all that it waits for is decided. The same again changes nothing.",
        body="DecisionBody",
        returns="ApprovalView",
        errors=(403, 404, 409),
    ),
    Endpoint(
        "GET",
        "approval-policy",
        "approval_policy_get",
        "Get what the workspace demands approvals for.",
        returns="lifecycle.approvals.policy:Policy",
    ),
    Endpoint(
        "PUT",
        "approval-policy",
        "approval_policy_put",
        "Set what the workspace demands approvals for; no agent's spec can weaken it.",
        body="lifecycle.approvals.policy:Policy",
        returns="lifecycle.approvals.policy:Policy",
        errors=(412,),
    ),
    Endpoint(
        "GET",
        "approval-rules",
        "approval_rules_list",
        "List standing rules: calls that need nobody's decision any more while their agent's version lasts.",
        returns="StandingPage",
    ),
    Endpoint(
        "DELETE",
        "approval-rules/{agent}/{id}",
        "approval_rules_delete",
        "End a standing rule.",
        status=204,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "approval-links/{token}",
        "approval_links_show",
        "Show what the link of a notification is to decide. It decides nothing.",
        mimetype="text/html",
        errors=(404, 409),
        anonymous=True,
    ),
    Endpoint(
        "POST",
        "approval-links/{token}",
        "approval_links_decide",
        "Decide by the link of a notification: the form's `decision` is `approve` or `reject`.",
        mimetype="text/html",
        errors=(400, 403, 404, 409),
        anonymous=True,
    ),
)
