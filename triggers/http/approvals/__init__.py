"""Approvals: pending decisions, past decisions, and the policy that requires them."""

from __future__ import annotations

from triggers.http.endpoint import AGENT_NAME, PAGING, Endpoint, Parameter, choice

ENDPOINTS = (
    Endpoint(
        "GET",
        "approvals",
        "approvals_list",
        "List approvals, those of the oldest runs first; pending ones unless another state is given.",
        returns="ApprovalPage",
        query=PAGING
        | {
            "state": choice(
                "Only in this state; default `pending`.",
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
        "Get an approval: the call to be decided with its arguments, by whom, and until when.",
        returns="ApprovalView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "approvals/{id}/decision",
        "approvals_decide",
        "Decide an approval; its run goes on once all its approvals are decided. Repeating a decision changes nothing.",
        body="DecisionBody",
        returns="ApprovalView",
        errors=(403, 404, 409),
    ),
    Endpoint(
        "GET",
        "approval-policy",
        "approval_policy_get",
        "Get the workspace's approval policy.",
        returns="lifecycle.approvals.policy:Policy",
    ),
    Endpoint(
        "PUT",
        "approval-policy",
        "approval_policy_put",
        "Set the workspace's approval policy: which calls need approval. No agent's spec can weaken it.",
        body="lifecycle.approvals.policy:Policy",
        returns="lifecycle.approvals.policy:Policy",
        errors=(412,),
    ),
    Endpoint(
        "GET",
        "approval-rules",
        "approval_rules_list",
        "List standing rules: calls that need no further approval while their agent keeps its version.",
        returns="StandingPage",
    ),
    Endpoint(
        "DELETE",
        "approval-rules/{agent}/{id}",
        "approval_rules_delete",
        "Delete a standing rule.",
        status=204,
        errors=(404,),
    ),
    Endpoint(
        "GET",
        "approval-links/{token}",
        "approval_links_show",
        "Show the page behind a notification's link: the approval and a form to decide it. It decides nothing itself.",
        mimetype="text/html",
        errors=(404, 409),
        anonymous=True,
    ),
    Endpoint(
        "POST",
        "approval-links/{token}",
        "approval_links_decide",
        "Decide an approval by the link of a notification: the form's `decision` is `approve` or `reject`.",
        mimetype="text/html",
        errors=(400, 403, 404, 409),
        anonymous=True,
    ),
)
