"""All blueprints of the app, over one set of services."""

from __future__ import annotations

import azure.durable_functions as df
import azure.functions as func

from bootstrap.actors import Actors, durable_signals
from bootstrap.azure import azure_queue
from bootstrap.services import Services
from bootstrap.telemetry import start_telemetry
from kernel.settings import Settings
from triggers import (
    agents,
    alerts,
    budgets,
    channels,
    configuration,
    costs,
    dead_letters,
    drift,
    entities,
    evaluations,
    events,
    metrics,
    performance,
    queue,
    reports,
    runs,
    sessions,
    status,
    system,
    timers,
    versions,
)
from triggers.api import Api


def create_app(settings: Settings) -> df.DFApp:
    """Return the Functions app. Nothing is connected before a function runs."""
    start_telemetry(settings)
    services = Services.for_azure(settings)
    services.load_extensions()
    run_queue = azure_queue(settings)

    api = Api(settings, durable_signals)
    agents.register(api, services)
    versions.register(api, services)
    configuration.register(api, services)
    runs.register(api, services, run_queue)
    sessions.register(api, services, run_queue)
    events.register(api, services)
    costs.register(api, services)
    budgets.register(api, services, run_queue)
    evaluations.register(api, services)
    reports.register(api, services)
    performance.register(api, services)
    alerts.register(api, services)
    channels.register(api, services)
    dead_letters.register(api, services, run_queue)
    drift.register(api, services)
    metrics.register(api, services)
    status.register(api, services, run_queue)
    system.register(api, services, run_queue)

    background = df.Blueprint()
    entities.register(background, Actors(settings))
    queue.register(background, services, run_queue, durable_signals)
    timers.register(background, services, run_queue, durable_signals)

    app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)
    app.register_functions(api.blueprint)
    app.register_functions(background)
    return app
