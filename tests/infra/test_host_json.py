"""host.json: JSON has no comments, so the reason for each setting stands here.

Keys and defaults are those of learn.microsoft.com/azure/azure-functions/functions-host-json, and of the
Service Bus (5.x) and Durable Task extensions.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from devhost.timespan import parse_timespan
from kernel.settings import Settings
from tests.infra import bicep
from tests.infra.bicep import INFRA, ROOT

HOST = bicep.host_json()
SERVICE_BUS = HOST["extensions"]["serviceBus"]
DURABLE = HOST["extensions"]["durableTask"]
SETTINGS = Settings.of({})

DOCUMENTED: dict[str, set[str]] = {
    "": {
        "$schema", "aggregator", "concurrency", "customHandler", "extensionBundle", "extensions", "functionTimeout",
        "functions", "healthMonitor", "logging", "managedDependency", "retry", "singleton", "telemetryMode", "version",
        "watchDirectories", "watchFiles",
    },
    "extensions": {
        "blobs", "cosmosDB", "durableTask", "eventHubs", "http", "queues", "sendGrid", "serviceBus", "signalR",
    },
    "extensions.http": {
        "customHeaders", "dynamicThrottlesEnabled", "hsts", "maxConcurrentRequests", "maxOutstandingRequests",
        "routePrefix",
    },
    "extensions.serviceBus": {
        "autoCompleteMessages", "clientRetryOptions", "maxAutoLockRenewalDuration", "maxBatchWaitTime",
        "maxConcurrentCalls", "maxConcurrentCallsPerSession", "maxConcurrentSessions", "maxMessageBatchSize",
        "minMessageBatchSize", "prefetchCount", "sessionIdleTimeout", "transportType", "webProxy",
    },
    "extensions.durableTask": {
        "defaultVersion", "entityMessageReorderWindowInMinutes", "extendedSessionIdleTimeoutInSeconds",
        "extendedSessionsEnabled", "grpc", "hubName", "localRpcEndpointEnabled", "maxConcurrentActivityFunctions",
        "maxConcurrentEntityFunctions", "maxConcurrentOrchestratorFunctions", "maxEntityOperationBatchSize",
        "maxOrchestrationActions", "notifications", "overridableExistingInstanceStates", "storageProvider",
        "storeInputsInOrchestrationHistory", "tracing", "useAppLease", "useGracefulShutdown", "versionMatchStrategy",
    },
    "extensions.durableTask.storageProvider": {
        "connectionName", "connectionStringName", "controlQueueBatchSize", "controlQueueBufferThreshold",
        "controlQueueVisibilityTimeout", "fetchLargeMessagesAutomatically", "maxQueuePollingInterval",
        "partitionCount", "taskHubName", "trackingStoreConnectionStringName", "trackingStoreNamePrefix", "type",
        "useLegacyPartitionManagement", "useTablePartitionManagement", "workItemQueueVisibilityTimeout",
    },
}  # fmt: skip


def test_every_key_is_documented() -> None:
    """The host ignores what it does not know: a misspelt key would silently be the default."""
    for path, known in DOCUMENTED.items():
        section: Any = HOST
        for step in filter(None, path.split(".")):
            section = section[step]

        assert set(section) <= known, path


def test_an_attempt_ends_before_the_host_ends_it() -> None:
    """The host's timeout kills the whole worker with every other run in it; RUN_TIMEOUT_S ends one attempt in order."""
    assert _span("functionTimeout") > timedelta(seconds=SETTINGS.run_timeout)


def test_the_host_waits_long_enough_and_no_longer() -> None:
    """A run needs RUN_TIMEOUT_S and its waits; the default of 30 minutes bills a hung function for half an hour."""
    waits = timedelta(seconds=SETTINGS.provision_wait + 2 * SETTINGS.run_lease + 30)

    assert timedelta(seconds=SETTINGS.run_timeout) + waits <= _span("functionTimeout") <= timedelta(minutes=30)


def test_locks_are_renewed_for_as_long_as_a_function_may_run() -> None:
    """The default is 5 minutes: a longer run would be delivered to a second worker while the first is still at it."""
    renewed = parse_timespan(SERVICE_BUS["maxAutoLockRenewalDuration"])

    assert renewed >= _span("functionTimeout")
    assert renewed > timedelta(minutes=5)


def test_a_worker_lets_go_of_a_quiet_conversation() -> None:
    """The default is a minute of waiting for a next message, with a session's place taken; most have none coming."""
    assert timedelta(seconds=1) <= parse_timespan(SERVICE_BUS["sessionIdleTimeout"]) <= timedelta(seconds=15)


def test_an_instance_answers_several_conversations_at_a_time() -> None:
    """Runs wait for models, so the default of 8 leaves an instance idle; 64 histories fit into its memory."""
    assert 8 < SERVICE_BUS["maxConcurrentSessions"] <= 64
    assert "maxConcurrentCalls" not in SERVICE_BUS, "is for queues without sessions"
    assert "maxConcurrentCallsPerSession" not in SERVICE_BUS, "more than 1 would break the order in a conversation"


def test_no_message_waits_locked_in_a_worker() -> None:
    """A prefetched run is locked while it waits, and counts as delivered when the lock ends."""
    assert SERVICE_BUS["prefetchCount"] == 0


def test_the_host_settles_messages() -> None:
    """Complete on success, abandon on an exception: that is what the run's retry rule stands on."""
    assert SERVICE_BUS["autoCompleteMessages"] is True


def test_the_task_hub_has_a_name_of_its_own() -> None:
    """By default it is the app's name: another app on the same storage account, or a renamed one, would not match."""
    assert DURABLE["hubName"].isalnum()
    assert 3 <= len(DURABLE["hubName"]) <= 45
    assert not DURABLE["hubName"][0].isdigit()


def test_a_quiet_task_hub_is_polled_before_a_run_gives_up_waiting() -> None:
    """Polling backs off to 30 s by default: an agent's first use would outlast PROVISION_WAIT_S and be retried."""
    polled = parse_timespan(DURABLE["storageProvider"]["maxQueuePollingInterval"])

    assert timedelta(seconds=1) <= polled < timedelta(seconds=SETTINGS.provision_wait) / 2


def test_entities_stay_on_azure_storage_unless_told_otherwise() -> None:
    """The scale controller reads the backend from this file alone, so it is said here and not in an app setting."""
    assert DURABLE["storageProvider"]["type"] == "AzureStorage"


def test_the_documented_change_to_the_scheduler_is_valid() -> None:
    """docs/deploy.md shows the section to put here for Durable Task Scheduler; it names what the template sets."""
    text = (ROOT / "docs/deploy.md").read_text()
    block = text.split("<!-- host.json for DurableTaskScheduler -->")[1].split("```json")[1].split("```")[0]
    section = json.loads(block)["durableTask"]
    deployed = bicep.read(INFRA / "app/functions.bicep").choices["schedulerSettings"]
    prefix = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__"

    assert section["hubName"] == DURABLE["hubName"]
    assert set(section["storageProvider"]) <= DOCUMENTED["extensions.durableTask.storageProvider"]
    assert section["storageProvider"]["type"] == deployed[f"{prefix}type"]
    assert section["storageProvider"]["connectionStringName"] == deployed[f"{prefix}connectionStringName"]
    assert section["storageProvider"]["connectionStringName"] in deployed


def test_the_scheduler_has_the_hub_that_the_host_asks_for() -> None:
    """The template reads the hub's name from this file."""
    hub = bicep.read(INFRA / "app/durable.bicep").resource("hub")

    assert hub.body["name"] == "hostSettings.extensions.durableTask.hubName"


def test_telemetry_is_open_telemetry() -> None:
    """Host and worker then speak of one trace, and the worker's logs keep their event names as properties."""
    assert HOST["telemetryMode"] == "OpenTelemetry"
    assert "logging" not in HOST, "logging.applicationInsights is not read in this mode"


def test_the_extensions_are_of_the_fourth_bundle() -> None:
    """It holds Service Bus 5.x and Durable Task with both backends; a fifth may break what is tested here."""
    assert HOST["extensionBundle"] == {"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"}


def test_the_api_is_where_the_docs_say() -> None:
    """Callers, health checks and the sign-in's open paths have `/api` in them."""
    assert HOST["extensions"]["http"] == {"routePrefix": "api"}


def _span(key: str) -> timedelta:
    return parse_timespan(HOST[key])
