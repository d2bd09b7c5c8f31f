"""Workflows, and their runs."""

from __future__ import annotations

from triggers.http.endpoint import PAGING, Endpoint

ENDPOINTS = (
    Endpoint("GET", "workflows", "workflows_list", "List workflows by name.", returns="WorkflowPage", query=PAGING),
    Endpoint("GET", "workflows/{name}", "workflows_get", "Get a workflow.", returns="WorkflowView", errors=(404,)),
    Endpoint(
        "PUT",
        "workflows/{name}",
        "workflows_put",
        "Set a workflow; its runs that are under way keep the version that they began with.",
        body="lifecycle.specs.workflow:WorkflowSpec",
        returns="WorkflowView",
        also=201,
        errors=(412, 413),
    ),
    Endpoint(
        "DELETE",
        "workflows/{name}",
        "workflows_delete",
        "Delete a workflow; its runs go on, and stay.",
        status=204,
        errors=(404, 412),
    ),
    Endpoint(
        "GET",
        "workflows/{name}/versions",
        "workflows_versions",
        "List the versions of a workflow, newest first.",
        returns="WorkflowPage",
        query=PAGING,
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "workflows/{name}/runs",
        "workflow_runs_start",
        "Start a run of a workflow: 202 once it is stored.",
        body="lifecycle.workflows.request:WorkflowRequest",
        returns="WorkflowRunView",
        status=202,
        errors=(404, 409, 413),
        creates=True,
        signals=True,
    ),
    Endpoint(
        "GET",
        "workflows/{name}/runs",
        "workflow_runs_list",
        "List the runs of a workflow, newest first, without their answers.",
        returns="WorkflowRunPage",
        query=PAGING,
    ),
    Endpoint(
        "GET",
        "workflow-runs/{id}",
        "workflow_runs_get",
        "Get a workflow run: its state, the outcome and cost of each step, and its answer.",
        returns="WorkflowRunView",
        errors=(404,),
    ),
    Endpoint(
        "POST",
        "workflow-runs/{id}/cancel",
        "workflow_runs_cancel",
        "Cancel a workflow run and the runs of its steps that are under way.",
        returns="WorkflowRunView",
        status=202,
        also=200,
        errors=(404,),
        signals=True,
    ),
)
