"""All functions of the app, over one set of services."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from bootstrap.actors import Actors, durable_signals
from bootstrap.azure import azure_queue
from bootstrap.services import Services
from bootstrap.telemetry import start_telemetry
from kernel.settings import Settings
from triggers import entities, queue, timers, webapp
from triggers.http import (
    a2a,
    agents,
    agui,
    alerts,
    approvals,
    batches,
    budgets,
    callbacks,
    channels,
    configuration,
    costs,
    drift,
    evaluations,
    events,
    loader,
    mcp,
    openai,
    optimizations,
    performance,
    pools,
    reports,
    retention,
    routes,
    runs,
    scaling,
    schedules,
    sessions,
    system,
    teams,
    workflows,
)
from triggers.http import (
    timers as timers_api,
)
from triggers.http.functions_http import stream_answers
from triggers.http.request_handling import Api

RESOURCES = (
    agents,
    configuration,
    runs,
    callbacks,
    schedules,
    batches,
    sessions,
    teams,
    events,
    costs,
    budgets,
    routes,
    approvals,
    evaluations,
    reports,
    performance,
    optimizations,
    pools,
    scaling,
    loader,
    alerts,
    channels,
    drift,
    retention,
    workflows,
    openai,
    mcp,
    a2a,
    agui,
    system,
    timers_api,
)


def create_app(settings: Settings) -> df.DFApp:
    """Return the Functions app. Nothing is connected before a function runs."""
    start_telemetry(settings)
    if settings.http_streaming:
        stream_answers()
    services = Services.for_azure(settings)
    services.load_extensions()
    run_queue = azure_queue(settings)

    background = df.Blueprint()
    entities.register(background, Actors(settings))
    queue.register(background, services, run_queue, durable_signals)
    timers.register(background, services, run_queue, durable_signals)
    webapp.register(background, settings)

    app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
    app.register_functions(Api(settings, services, run_queue, durable_signals, RESOURCES).blueprint())
    app.register_functions(background)
    return app
