"""The app as the host indexes it: names, routes, methods, levels, schedules, queues."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernel.settings import Settings
from triggers.app import RESOURCES, create_app
from triggers.http.openapi import describe
from triggers.http.request_handling import Operation

ROOT = Path(__file__).parents[2]

ROUTES = """
DELETE sessions/{id} sessions_erase function
DELETE agents/{name} agents_delete function
DELETE alerts/{name} alerts_delete function
DELETE channels/{name} channels_delete function
DELETE dead-letters/{id} dead_letters_discard function
DELETE users/{user_id} users_erase function
GET    agents agents_list function
GET    agents/{name} agents_get function
GET    agents/{name}/effective agents_effective function
DELETE templates/{name} templates_delete function
GET    users/{user_id}/preferences preferences_get function
PUT    users/{user_id}/preferences preferences_put function
DELETE users/{user_id}/preferences preferences_delete function
GET    teams teams_list function
GET    teams/{name} teams_get function
PUT    teams/{name} teams_put function
DELETE teams/{name} teams_delete function
GET    teams/{name}/versions teams_versions function
GET    teams/{name}/status teams_status function
POST   teams/{name}/runs teams_submit function
GET    inbox inbox_list function
POST   sessions/{id}/handoff sessions_handoff function
POST   sessions/{id}/claim sessions_claim function
POST   sessions/{id}/reply sessions_reply function
POST   sessions/{id}/return sessions_return function
POST   sessions/{id}/release sessions_release function
GET    templates templates_list function
GET    templates/{name} templates_get function
GET    templates/{name}/dependents templates_dependents function
GET    templates/{name}/versions templates_versions function
PUT    templates/{name} templates_put function
DELETE personalities/{name} personalities_delete function
GET    personalities personalities_list function
GET    personalities/{name} personalities_get function
GET    personalities/{name}/dependents personalities_dependents function
GET    personalities/{name}/versions personalities_versions function
PUT    personalities/{name} personalities_put function
DELETE capabilities/{name} capabilities_delete function
GET    capabilities capabilities_list function
GET    capabilities/{name} capabilities_get function
GET    capabilities/{name}/dependents capabilities_dependents function
GET    capabilities/{name}/versions capabilities_versions function
PUT    capabilities/{name} capabilities_put function
DELETE overrides overrides_delete function
GET    overrides overrides_get function
GET    overrides/versions overrides_versions function
PUT    overrides overrides_put function
GET    agents/{name}/stats agents_stats function
GET    agents/{name}/versions agents_versions function
GET    agents/{name}/versions/{version} agents_version function
GET    alerts alerts_list function
GET    alerts/fired alerts_fired function
GET    alerts/{name} alerts_get function
GET    retention retention_get function
PUT    retention retention_put function
POST   retention/apply retention_apply function
GET    retention/receipts retention_receipts function
GET    holds holds_list function
PUT    holds/{scope} holds_put function
DELETE holds/{scope} holds_delete function
GET    export export function
GET    budgets budgets_list function
GET    budgets/{scope} budgets_get function
PUT    budgets/{scope} budgets_put function
DELETE budgets/{scope} budgets_delete function
GET    routes routes_list function
GET    routes/{name} routes_get function
PUT    routes/{name} routes_put function
DELETE routes/{name} routes_delete function
POST   optimizations optimizations_find function
GET    optimizations optimizations_list function
GET    optimizations/{id} optimizations_get function
POST   optimizations/{id}/apply optimizations_apply function
POST   what-if what_if function
GET    usage usage function
GET    usage/waiting usage_waiting function
GET    pools pools_list function
GET    pools/{name} pools_get function
PUT    pools/{name} pools_put function
DELETE pools/{name} pools_delete function
GET    pools/{name}/costs pools_costs function
GET    resources resources function
GET    scaling/policy scaling_policy_get function
PUT    scaling/policy scaling_policy_put function
GET    scaling/recommendation scaling_recommendation function
POST   scaling/apply scaling_apply function
GET    timers timers_list function
GET    users/{user_id}/export users_export function
POST   timers/{name}/run timers_run function
GET    resources/history resources_history function
GET    approvals approvals_list function
GET    approvals/{id} approvals_get function
POST   approvals/{id}/decision approvals_decide function
GET    approval-policy approval_policy_get function
PUT    approval-policy approval_policy_put function
GET    approval-rules approval_rules_list function
DELETE approval-rules/{agent}/{id} approval_rules_delete function
GET    approval-links/{token} approval_links_show anonymous
POST   approval-links/{token} approval_links_decide anonymous
GET    prices prices_list function
GET    prices/{name} prices_get function
PUT    prices/{name} prices_put function
DELETE prices/{name} prices_delete function
POST   runs/{run_id}/resume runs_resume function
POST   runs/{run_id}/feedback runs_feedback function
GET    channels channels_list function
GET    channels/{name} channels_get function
GET    channels/{name}/deliveries channels_deliveries function
GET    costs costs function
GET    dead-letters dead_letters_list function
GET    evaluations evaluations_list function
GET    evaluations/{name}/comparison evaluations_comparison function
GET    evaluations/{name}/versions evaluations_versions function
GET    health health anonymous
GET    metrics metrics function
GET    openapi.json openapi anonymous
GET    docs docs anonymous
GET    registry/plan registry_plan function
GET    registry/plan/{id} registry_plan_get function
GET    loader loader function
GET    loader/activity loader_activity function
GET    loader/what-if loader_what_if function
POST   loader/optimize loader_optimize function
POST   loader/preload loader_preload function
GET    performance performance_list function
GET    performance/{agent} performance_get function
GET    performance/{agent}/insights performance_insights function
GET    reports reports_list function
GET    reports/{period} reports_get function
GET    runs runs_list function
GET    runs/{run_id} runs_get function
GET    runs/{run_id}/steps runs_steps function
GET    sessions sessions_list function
GET    sessions/{id} sessions_get function
GET    sessions/{id}/events sessions_events function
GET    sessions/{id}/export sessions_export function
GET    events events function
GET    status status function
GET    analytics analytics function
GET    sessions/{id}/messages sessions_messages function
GET    stats stats function
GET    workflows workflows_list function
GET    workflows/{name} workflows_get function
PUT    workflows/{name} workflows_put function
DELETE workflows/{name} workflows_delete function
GET    workflows/{name}/versions workflows_versions function
POST   workflows/{name}/runs workflow_runs_start function
GET    workflows/{name}/runs workflow_runs_list function
GET    workflow-runs/{id} workflow_runs_get function
POST   workflow-runs/{id}/cancel workflow_runs_cancel function
POST   agents/{name}/disable agents_disable function
POST   agents/{name}/enable agents_enable function
POST   agents/{name}/prewarm agents_prewarm function
POST   agents/{name}/restore agents_restore function
POST   agents/{name}/retire agents_retire function
POST   agents/{name}/runs runs_submit function
POST   agents/{name}/rollback agents_rollback function
GET    agents/{name}/audit agents_audit function
POST   sessions/{id}/unpin sessions_unpin function
POST   agents/{name}/verify agents_verify function
POST   channels/{name}/test channels_test function
POST   dead-letters/{id}/redrive dead_letters_redrive function
POST   prune agents_prune function
POST   registry/apply registry_apply function
POST   runs/{run_id}/cancel runs_cancel function
GET    callbacks callbacks_list function
GET    runs/{run_id}/callback runs_callback function
POST   runs/{run_id}/callback/redeliver runs_callback_redeliver function
GET    schedules schedules_list function
GET    schedules/{name} schedules_get function
PUT    schedules/{name} schedules_put function
DELETE schedules/{name} schedules_delete function
POST   batches batches_create function
GET    batches batches_list function
GET    batches/{id} batches_get function
GET    batches/{id}/results batches_results function
POST   batches/{id}/cancel batches_cancel function
POST   sessions sessions_create function
POST   sessions/{id}/end sessions_end function
POST   sessions/{id}/pause sessions_pause function
POST   sessions/{id}/resume sessions_resume function
POST   mcp mcp function
GET    a2a/{name}/.well-known/agent-card.json a2a_card function
POST   a2a/{name} a2a function
POST   agui/{name} agui function
GET    v1/models openai_models_list function
GET    v1/models/{model} openai_models_get function
POST   v1/chat/completions openai_chat_completions function
POST   v1/conversations openai_conversations_create function
POST   v1/responses openai_responses_create function
GET    v1/responses/{id} openai_responses_get function
POST   v1/responses/{id}/cancel openai_responses_cancel function
PUT    agents/{name} agents_declare function
PUT    alerts/{name} alerts_put function
PUT    channels/{name} channels_put function
"""
WEB_APP = {("app", "anonymous"), ("app/{*path}", "anonymous")}
SIGNALLING = {
    "a2a",
    "agents_disable",
    "agents_enable",
    "agents_item",
    "agents_prewarm",
    "agents_prune",
    "agents_restore",
    "agents_retire",
    "agents_rollback",
    "agents_verify",
    "agui",
    "capabilities_item",
    "expire_events",
    "optimizations_apply",
    "overrides",
    "mcp",
    "openai_chat_completions",
    "openai_responses_create",
    "personalities_item",
    "prune_idle_agents",
    "reconcile_agents",
    "registry_apply",
    "run_agent",
    "run_agent_low",
    "run_agent_priority",
    "run_timers",
    "runs_submit",
    "teams_submit",
    "templates_item",
    "timers_run",
    "verify_agents",
    "workflow_runs",
    "workflow_runs_cancel",
}
"""Functions that are given a Durable client."""


def index(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Return the app's functions with their bindings, as the worker tells the host."""
    functions: Any = create_app(settings).get_functions()
    return {item.get_function_name(): [each.get_dict_repr() for each in item.get_bindings()] for item in functions}


@pytest.fixture
def functions(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Return the app's functions."""
    return index(settings)


def _trigger(bindings: list[dict[str, Any]]) -> dict[str, Any]:
    return next(binding for binding in bindings if str(binding["type"]).endswith("Trigger"))


def test_http_functions(functions: dict[str, list[dict[str, Any]]]) -> None:
    """Routes and levels change only on purpose."""
    operations = [line.split() for line in ROUTES.strip().splitlines()]
    found = {
        (trigger["route"], name, trigger["authLevel"].name.lower(), trigger.get("methods"))
        for name, bindings in functions.items()
        if (trigger := _trigger(bindings))["type"] == "httpTrigger"
    }

    routes = {(route, level) for _, route, _, level in operations}
    assert {(route, level) for route, _, level, _ in found} == routes | WEB_APP
    assert {methods for *_, methods in found} == {None}, "the app answers every method, and says 405 itself"
    assert sorted(
        (endpoint.method, endpoint.path, endpoint.name) for each in RESOURCES for endpoint in each.ENDPOINTS
    ) == sorted((method, route, name) for method, route, name, _ in operations)
    assert {name for _, name, *_ in found if name not in {name for *_, name, _ in operations}} == {
        "agents_item",
        "approval_links_item",
        "approval_policy",
        "alerts_item",
        "batches",
        "budgets_item",
        "capabilities_item",
        "channels_item",
        "holds_item",
        "optimizations",
        "overrides",
        "personalities_item",
        "pools_item",
        "preferences",
        "scaling_policy",
        "prices_item",
        "retention",
        "schedules_item",
        "routes_item",
        "sessions",
        "sessions_item",
        "teams_item",
        "templates_item",
        "web_app",
        "workflow_runs",
        "workflows_item",
        "web_app_files",
    }


def test_every_endpoint_has_what_it_names() -> None:
    """Handlers and models are loaded on first use; that they are there is seen here."""
    operations = [Operation(endpoint, each.__name__) for each in RESOURCES for endpoint in each.ENDPOINTS]

    assert all(callable(operation.handler) for operation in operations)
    assert len(describe(operations)["paths"]) == len({operation.endpoint.path for operation in operations})


def test_importing_the_app_loads_no_handler() -> None:
    """Nor views, or what they stand on: a worker that is started for a timer needs none of it."""
    statement = "import function_app, sys; print(*[name for name in sys.modules if name.startswith('triggers.http.')])"
    environment = {
        "TablesConnection": "UseDevelopmentStorage=true",
        "ServiceBusConnection": "Endpoint=sb://127.0.0.1;SharedAccessKeyName=x;SharedAccessKey=y",
    }
    done = subprocess.run(
        [sys.executable, "-c", statement], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    loaded = done.stdout.split()

    assert "triggers.http.budgets" in loaded
    assert [name for name in loaded if name.endswith((".handlers", ".views", ".openapi"))] == []


def test_other_functions(functions: dict[str, list[dict[str, Any]]]) -> None:
    """So do schedules, the queues and the entity."""
    others = {
        name: {
            key: value
            for key, value in trigger.items()
            if key in ("schedule", "queueName", "connection", "isSessionsEnabled")
        }
        | {"type": trigger["type"]}
        for name, bindings in functions.items()
        if (trigger := _trigger(bindings))["type"] != "httpTrigger"
    }

    assert others == {
        "agent": {"type": "entityTrigger"},
        "run_agent": {
            "type": "serviceBusTrigger",
            "queueName": "%RUN_QUEUE%",
            "connection": "ServiceBusConnection",
            "isSessionsEnabled": True,
        },
        "run_agent_low": {
            "type": "serviceBusTrigger",
            "queueName": "%RUN_QUEUE_LOW%",
            "connection": "ServiceBusConnection",
            "isSessionsEnabled": True,
        },
        "run_agent_priority": {
            "type": "serviceBusTrigger",
            "queueName": "%RUN_QUEUE_PRIORITY%",
            "connection": "ServiceBusConnection",
            "isSessionsEnabled": True,
        },
        "run_timers": {"type": "timerTrigger", "schedule": "55 * * * * *"},
        "prune_idle_agents": {"type": "timerTrigger", "schedule": "%PRUNE_SCHEDULE%"},
        "verify_agents": {"type": "timerTrigger", "schedule": "%VERIFY_SCHEDULE%"},
        "reconcile_agents": {"type": "timerTrigger", "schedule": "%DRIFT_SCHEDULE%"},
        "expire_events": {"type": "timerTrigger", "schedule": "%EVENTS_SCHEDULE%"},
    }


def test_only_functions_that_signal_get_a_client(functions: dict[str, list[dict[str, Any]]]) -> None:
    """A Durable client is bound where operations are sent, or may be, as by timers, and nowhere else."""
    found = {name for name, bindings in functions.items() if any(b["type"] == "durableClient" for b in bindings)}

    assert found == SIGNALLING


def test_with_entra_no_key_is_asked_for(settings: Settings) -> None:
    """App Service authentication stands in front then; a function key would be a second, shared secret."""
    functions = index(replace(settings, auth_mode="entra"))

    assert {
        trigger["authLevel"].name
        for bindings in functions.values()
        if (trigger := _trigger(bindings))["type"] == "httpTrigger"
    } == {"ANONYMOUS"}
