"""Data retention: the policy, legal holds, receipts, and exports."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint, Parameter

ENDPOINTS = (
    Endpoint(
        "GET",
        "retention",
        "retention_get",
        "Get the workspace's retention policy.",
        returns="lifecycle.retention.policy:DataRetentionPolicy",
    ),
    Endpoint(
        "PUT",
        "retention",
        "retention_put",
        "Set the workspace's retention policy; null keeps data until a call erases it.",
        body="lifecycle.retention.policy:DataRetentionPolicy",
        returns="lifecycle.retention.policy:DataRetentionPolicy",
        errors=(412,),
    ),
    Endpoint(
        "POST",
        "retention/apply",
        "retention_apply",
        "Apply the retention policy now; with `dry_run`, only list what it would delete.",
        returns="RetentionView",
        query={
            "dry_run": Parameter(
                "`true` (default) only returns what would happen; `false` does it.",
                {"type": "boolean", "default": True},
            )
        },
    ),
    Endpoint(
        "GET",
        "retention/receipts",
        "retention_receipts",
        "List receipts of what the policy deleted, newest first.",
        returns="RetentionReceiptPage",
        query=PAGING,
    ),
    Endpoint("GET", "holds", "holds_list", "List the workspace's legal holds.", returns="HoldPage"),
    Endpoint(
        "PUT",
        "holds/{scope}",
        "holds_put",
        "Place a legal hold on `workspace`, `agent:NAME`, `user:ID` or `session:ID`; an existing one is not changed.",
        body="HoldBody",
        returns="HoldView",
        also=201,
    ),
    Endpoint("DELETE", "holds/{scope}", "holds_delete", "Release a legal hold.", status=204, errors=(404,)),
    Endpoint(
        "GET",
        "export",
        "export",
        "Export the workspace's data, page by page: agents with their configuration, workflows, teams, pools, "
        "routes, schedules, batches, budgets, prices, alert rules, channels without secrets, approvals, reports, "
        "policies, and sessions with their transcripts.",
        returns="ExportPage",
        query=PAGING,
        errors=(413,),
    ),
    Endpoint(
        "GET",
        "users/{user_id}/export",
        "users_export",
        "Export a user's data, page by page: preferences, sessions with their transcripts, and runs in any session.",
        returns="ExportPage",
        query=PAGING,
        errors=(413,),
    ),
)
