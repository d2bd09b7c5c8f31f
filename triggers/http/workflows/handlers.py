"""Handlers of workflows and their runs."""

from __future__ import annotations

from kernel.ids import new_id, newest_first_key, parse_run_id, run_id
from lifecycle.configuration.kinds import Kind, item_name
from lifecycle.specs.workflow import WorkflowSpec
from lifecycle.workflows.request import WorkflowRequest
from triggers.http.handler_call import Call, Reply, at, index, page_token
from triggers.http.workflows.views import WorkflowPage, WorkflowRunPage, WorkflowRunView, WorkflowView


def _name(call: Call) -> str:
    return item_name(Kind.WORKFLOW, call.route("name"))


def _cursor(call: Call) -> str | None:
    return call.cursor(lambda value: item_name(Kind.WORKFLOW, value))


async def workflows_list(call: Call) -> Reply:
    found, after = await call.services.workflows.definitions.list(call.workspace, call.limit(), _cursor(call))
    return Reply(WorkflowPage(items=[WorkflowView.from_item(item) for item in found], next=page_token(after)))


async def workflows_get(call: Call) -> Reply:
    item = await call.services.workflows.definitions.get(call.workspace, _name(call))
    return Reply(WorkflowView.from_item(item), headers={"ETag": item.etag})


async def workflows_put(call: Call) -> Reply:
    name, spec = _name(call), call.body
    if not isinstance(spec, WorkflowSpec):
        raise TypeError
    item, new = await call.services.workflows.definitions.put(call.workspace, name, spec, call.header("if-match"))
    headers = {"ETag": item.etag} | (at("workflows", name) if new else {})
    return Reply(WorkflowView.from_item(item), 201 if new else 200, headers)


async def workflows_delete(call: Call) -> Reply:
    await call.services.workflows.definitions.delete(call.workspace, _name(call), call.header("if-match"))
    return Reply(status=204)


async def workflows_versions(call: Call) -> Reply:
    definitions = call.services.workflows.definitions
    found, earlier = await definitions.versions(call.workspace, _name(call), call.limit(), call.cursor(index))
    return Reply(WorkflowPage(items=[WorkflowView.from_item(item) for item in found], next=page_token(earlier)))


async def workflow_runs_start(call: Call) -> Reply:
    request: WorkflowRequest = call.body
    request = request.checked(call.services.core.settings.max_query_bytes)
    key = call.header("idempotency-key")
    ident = run_id(call.workspace, key) if key else new_id()
    engine, send = call.services.workflows.engine, call.queue.send
    run, _ = await engine.start(call.workspace, _name(call), ident, request, call.signals, send)
    return Reply(WorkflowRunView.from_run(run), 202, at("workflow-runs", run.id))


async def workflow_runs_list(call: Call) -> Reply:
    found, after = await call.services.workflows.store.page(
        call.workspace, _name(call), call.limit(), call.cursor(newest_first_key)
    )
    return Reply(WorkflowRunPage(items=[WorkflowRunView.from_run(run) for run in found], next=page_token(after)))


async def workflow_runs_get(call: Call) -> Reply:
    found = await call.services.workflows.engine.overview(call.workspace, _id(call))
    return Reply(WorkflowRunView.from_run(found.run, found.answer, found.states))


async def workflow_runs_cancel(call: Call) -> Reply:
    engine = call.services.workflows.engine
    run = await engine.cancel(call.workspace, _id(call), call.signals, call.queue.send)
    return Reply(WorkflowRunView.from_run(run), 200 if run.finished else 202)


def _id(call: Call) -> str:
    return parse_run_id(call.route("id"))
