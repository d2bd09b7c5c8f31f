"""Every setting of the app, read once from the environment and checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

Seconds = Annotated[float, Field(gt=0, le=366 * 86400)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
ProjectEndpoint = Annotated[str, Field(pattern=r"^(?:https://.+|http://(?:127\.0\.0\.1|localhost)[:/].+)?$")]


_RULE = r"[^/=\s,]+(?:/[^=\s,]+)?=[^=\s]+"
_QUEUE_WORKSPACES = re.compile(rf"\s*(?:\*|{_RULE}(?:\s+{_RULE})*)\s*")


class InvalidSettings(Exception):
    """A setting is missing or wrong; the text names each and says what is wrong, never its value."""


class Settings(BaseModel):
    """The settings. Each is an app setting (an environment variable) of the name that it validates by.

    In Python they go by their own names, `Settings(openai_base_url="http://127.0.0.1:11434/v1")`; an unknown one is an
    error.

    Durations are in seconds. Connections are connection strings, or, for a managed identity, the settings with
    `__endpoint` and `__fullyQualifiedNamespace`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    tables_connection: SecretStr = Field(default=SecretStr(""), alias="TablesConnection")
    """Connection string of the storage account that holds the tables."""
    tables_endpoint: str = Field(default="", alias="TablesConnection__endpoint")
    """Table endpoint to reach with the app's identity instead, like https://NAME.table.core.windows.net."""
    blob_endpoint: str = Field(default="", alias="BLOB_ENDPOINT")
    """Blob endpoint of that account, for texts that are too long for a row; empty: as the table endpoint's."""
    service_bus_connection: SecretStr = Field(default=SecretStr(""), alias="ServiceBusConnection")
    """Connection string of the Service Bus namespace."""
    service_bus_namespace: str = Field(default="", alias="ServiceBusConnection__fullyQualifiedNamespace")
    """Namespace to reach with the app's identity instead, like NAME.servicebus.windows.net."""
    run_queue: Name = Field(default="agent-runs", alias="RUN_QUEUE")
    """The queue of runs; sessions must be enabled on it."""
    run_queue_priority: Name = Field(default="agent-runs-priority", alias="RUN_QUEUE_PRIORITY")
    """The queue of runs of high priority; a queue of its own, with the same properties."""
    queue_workspaces: str = Field(default="*", alias="QUEUE_WORKSPACES")
    """Workspaces that unsigned messages may name, like `agent-runs=acme,contoso agent-runs/SUBJECT=hr`; `*` for any."""
    queue_signing_key: SecretStr = Field(default=SecretStr(""), alias="QUEUE_SIGNING_KEY")
    """Key, of 32 characters at least, that messages on the queues are signed with; empty for no signatures."""

    openai_base_url: Name = Field(default="https://api.openai.com/v1", alias="OPENAI_BASE_URL")
    """Base URL of an OpenAI-compatible endpoint, like http://127.0.0.1:11434/v1 for Ollama."""
    openai_api_key: SecretStr = Field(default=SecretStr(""), alias="OPENAI_API_KEY")
    """Key of that endpoint, or of Azure OpenAI; empty with Azure OpenAI means the app's identity."""
    azure_openai_endpoint: str = Field(default="", alias="AZURE_OPENAI_ENDPOINT")
    """Azure OpenAI resource to use instead, like https://NAME.openai.azure.com."""
    azure_openai_api_version: str = Field(default="", alias="AZURE_OPENAI_API_VERSION")
    """API version of that resource; empty for the SDK's default."""
    foundry_project_endpoint: ProjectEndpoint = Field(default="", alias="FOUNDRY_PROJECT_ENDPOINT")
    """Foundry project for agents of the provider `foundry`, like https://NAME.services.ai.azure.com/api/projects/PROJECT."""
    model_timeout: Seconds = Field(default=120, alias="MODEL_TIMEOUT_S")
    """How long one model call may take."""

    registry_owner: Name = Field(default="agent-lifecycle", alias="REGISTRY_OWNER")
    """Marks agents at a provider as this app's; two apps that share a provider need two owners."""
    agent_cache_size: int = Field(default=50, ge=1, le=100_000, alias="AGENT_CACHE_SIZE")
    """Agents a worker keeps ready to run."""
    agent_cache_trust: Seconds = Field(default=10, alias="AGENT_CACHE_TRUST_S")
    """How long a worker uses a cached agent without looking whether it was changed or disabled."""
    agent_cache_policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"] = Field(
        default="sieve", alias="AGENT_CACHE_POLICY"
    )
    """Which agent goes when a worker keeps as many as it may."""
    preload_share: Annotated[float, Field(ge=0, le=1)] = Field(default=0.8, alias="PRELOAD_SHARE")
    """Share of AGENT_CACHE_SIZE that a worker may fill at first with agents nobody has asked it for, 0-1; 0: none."""
    preload_threshold: Annotated[float, Field(ge=0, le=1)] = Field(default=0.7, alias="PRELOAD_THRESHOLD")
    """Least priority of an agent that is preloaded, 0-1."""
    preload_every: Seconds = Field(default=300, alias="PRELOAD_EVERY_S")
    """How often a worker looks which agents to preload."""
    loader_schedule: Name = Field(default="0 4-59/10 * * * *", alias="LOADER_SCHEDULE")
    """When it is learnt which agents are used, and with which others (NCRONTAB, UTC)."""
    provision_wait: Seconds = Field(default=20, alias="PROVISION_WAIT_S")
    """How long a run waits for its agent to be provisioned before it is retried."""
    record_use_every: Seconds = Field(default=5, alias="RECORD_USE_EVERY_S")
    """How often at most a worker tells an agent's actor that the agent is used."""

    max_query_bytes: int = Field(default=65_536, ge=1, le=196_608, alias="MAX_QUERY_BYTES")
    """Largest query, in UTF-8 bytes; a queue message of the standard tier holds 256 KiB in all."""
    run_lease: Seconds = Field(default=60, alias="RUN_LEASE_S")
    """How long a worker that gives no sign of life keeps a run from others."""
    run_look_every: Seconds = Field(default=1, alias="RUN_LOOK_EVERY_S")
    """How often a running run is looked at, to cancel it, to write its progress and to renew its lease."""
    run_timeout: Seconds = Field(default=600, alias="RUN_TIMEOUT_S")
    """How long one attempt of a run may take."""
    run_max_attempts: int = Field(default=5, ge=1, le=100, alias="RUN_MAX_ATTEMPTS")
    """Attempts before a run is given up; the same as the queue's maximum delivery count."""
    run_retry_base: Seconds = Field(default=0.5, alias="RUN_RETRY_BASE_S")
    """Wait before a run's second attempt; it doubles from there, up to 30 s."""
    run_retry_longest: Seconds = Field(default=900, alias="RUN_RETRY_LONGEST_S")
    """Longest wait before a run's next attempt that a provider can ask for (`Retry-After`)."""
    history_turns: int = Field(default=40, ge=0, le=1000, alias="HISTORY_TURNS")
    """Most messages of a conversation that the model is told."""
    history_tokens: int = Field(default=32_000, ge=100, le=10_000_000, alias="HISTORY_TOKENS")
    """Most tokens of a conversation that the model is told, by estimate; the oldest messages are left out first."""

    evaluation_share: Annotated[float, Field(ge=0, le=1)] = Field(default=1, alias="EVALUATION_SHARE")
    """Share of the answers that are scored, unless the agent's evaluation policy says otherwise, 0-1."""
    evaluation_schedule: Name = Field(default="45 * * * * *", alias="EVALUATION_SCHEDULE")
    """When judges are heard of answers, and scores summed up (NCRONTAB, UTC)."""
    check_timeout: Seconds = Field(default=5, alias="CHECK_TIMEOUT_S")
    """How long one check of an answer may take before it is left out of the score."""

    prune_schedule: Name = Field(default="0 */15 * * * *", alias="PRUNE_SCHEDULE")
    """When idle agents are retired (NCRONTAB, UTC)."""
    idle_after: Seconds = Field(default=7 * 86400, alias="IDLE_AFTER_S")
    """Time without use after which an agent is retired, unless its spec says otherwise."""
    keep_new_for: Annotated[float, Field(ge=0, le=366 * 86400)] = Field(default=3600, alias="KEEP_NEW_FOR_S")
    """An agent declared less than this ago is never retired by the timer."""
    prune_grace: Annotated[float, Field(ge=0, le=366 * 86400)] = Field(default=86400, alias="PRUNE_GRACE_S")
    """How long a retired agent's versions are left at the provider, switched off and archived, before they go."""
    versions_kept: int = Field(default=3, ge=0, le=100, alias="VERSIONS_KEPT")
    """How many superseded versions of an agent are kept; older ones go unless a session is pinned to them."""
    verify_schedule: Name = Field(default="0 10,40 * * * *", alias="VERIFY_SCHEDULE")
    """When agents are verified at their providers (NCRONTAB, UTC)."""
    verify_after: Seconds = Field(default=86400, alias="VERIFY_AFTER_S")
    """How long an agent that was seen intact at its provider is not looked at again."""
    verify_sample: int = Field(default=50, ge=1, le=10_000, alias="VERIFY_SAMPLE")
    """How many agents are verified at a time, those not seen for longest first."""
    aggregation_schedule: Name = Field(default="35 * * * * *", alias="AGGREGATION_SCHEDULE")
    """When new facts of attempts are added up (NCRONTAB, UTC)."""
    report_schedule: Name = Field(default="0 */5 * * * *", alias="REPORT_SCHEDULE")
    """When reports are brought up to what facts add up to (NCRONTAB, UTC)."""
    configuration_schedule: Name = Field(default="50 * * * * *", alias="CONFIGURATION_SCHEDULE")
    """When agents are made to follow what is left of changed templates, personalities and so on (NCRONTAB, UTC)."""
    drift_schedule: Name = Field(default="0 23 * * * *", alias="DRIFT_SCHEDULE")
    """When agents are compared with what is at their providers, for the counts of drift (NCRONTAB, UTC)."""
    session_expiry_schedule: Name = Field(default="30 */5 * * * *", alias="SESSION_EXPIRY_SCHEDULE")
    """When idle sessions are ended (NCRONTAB, UTC)."""
    session_idle_after: Seconds = Field(default=86400, alias="SESSION_IDLE_AFTER_S")
    """Time without a run after which a session is ended."""
    dead_letter_schedule: Name = Field(default="15 * * * * *", alias="DEAD_LETTER_SCHEDULE")
    """When runs whose workers died at every attempt are looked for among the dead letters (NCRONTAB, UTC)."""

    events_schedule: Name = Field(default="0 20 * * * *", alias="EVENTS_SCHEDULE")
    """When events that are old enough are deleted (NCRONTAB, UTC)."""
    events_retention: Annotated[float, Field(ge=3600, le=10 * 366 * 86400)] = Field(
        default=7 * 86400, alias="EVENTS_RETENTION_S"
    )
    """How long events are kept."""

    alert_schedule: Name = Field(default="45 * * * * *", alias="ALERT_SCHEDULE")
    """When alert rules are evaluated (NCRONTAB, UTC)."""
    sla_latency_ms: int = Field(default=30_000, ge=1, le=86_400_000, alias="SLA_LATENCY_MS")
    """Time in which an agent is to answer 95 % of its runs, unless its spec says otherwise, in milliseconds."""
    sla_availability: Annotated[float, Field(gt=0, le=1)] = Field(default=0.99, alias="SLA_AVAILABILITY")
    """Share of its runs that an agent is to answer, unless its spec says otherwise, 0-1."""
    notify_schedule: Name = Field(default="*/30 * * * * *", alias="NOTIFY_SCHEDULE")
    """When notifications are delivered to channels (NCRONTAB, UTC)."""
    webhooks_allow_private: bool = Field(default=False, alias="WEBHOOKS_ALLOW_PRIVATE")
    """Whether webhooks may be plain http and go to private addresses; only for local use."""

    budget_trust: Seconds = Field(default=5, alias="BUDGET_TRUST_S")
    """How long a worker keeps to budgets and rates without looking whether they were changed."""
    budget_wait: Seconds = Field(default=5, alias="BUDGET_WAIT_S")
    """How long a model call waits for what others have reserved of a budget, before its run waits."""
    budget_output_tokens: int = Field(default=4096, ge=1, le=1_000_000, alias="BUDGET_OUTPUT_TOKENS")
    """Most tokens of a model call's answer within budgets, where the agent's spec does not say."""
    budget_schedule: Name = Field(default="20 * * * * *", alias="BUDGET_SCHEDULE")
    """When expired reservations are freed and waiting runs looked at (NCRONTAB, UTC)."""
    runaway_same_tool_calls: int = Field(default=10, ge=0, le=10_000, alias="RUNAWAY_SAME_TOOL_CALLS")
    """Calls of one tool with the same arguments in an attempt before the run is failed; 0 for any number."""
    runaway_usd_per_minute: float = Field(default=10, ge=0, le=1_000_000, alias="RUNAWAY_USD_PER_MINUTE")
    """What a run may spend within a minute, in USD, before it is failed; 0 for anything."""

    auth_mode: Literal["keys", "entra"] = Field(default="keys", alias="AUTH_MODE")
    """Who may call: holders of a function key, or users that App Service authentication has signed in."""
    workspace_claim: Name = Field(default="tid", alias="WORKSPACE_CLAIM")
    """With `entra`: the claim whose value is the caller's workspace."""
    trust_workspace_header: bool = Field(default=False, alias="TRUST_WORKSPACE_HEADER")
    """With `keys`: whether the X-Workspace header names the workspace; only behind a gateway that sets it."""

    application_insights: SecretStr = Field(default=SecretStr(""), alias="APPLICATIONINSIGHTS_CONNECTION_STRING")
    """Application Insights to send traces, logs and metrics to; empty for none."""
    otlp_endpoint: Annotated[str, Field(pattern=r"^(?:https?://\S+)?$")] = Field(
        default="", alias="OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    """Base URL of an OTLP/HTTP receiver of the same, like http://127.0.0.1:4318; empty for none."""
    telemetry_content: bool = Field(default=False, alias="ENABLE_SENSITIVE_DATA")
    """Whether prompts, answers and tool arguments are part of the traces."""
    metrics_every: Seconds = Field(default=15, alias="METRICS_EVERY_S")
    """How often at most a worker stores its metrics for `GET metrics`."""

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.run_look_every * 3 > self.run_lease:
            msg = "RUN_LOOK_EVERY_S: at most a third of RUN_LEASE_S, or a lease runs out before it is renewed"
            raise ValueError(msg)
        if self.run_queue.casefold() == self.run_queue_priority.casefold():
            msg = "RUN_QUEUE_PRIORITY: not the queue that RUN_QUEUE names, or no message says what priority it has"
            raise ValueError(msg)
        if not _QUEUE_WORKSPACES.fullmatch(self.queue_workspaces):
            msg = "QUEUE_WORKSPACES: rules are QUEUE=WORKSPACE,… or QUEUE/SUBJECT=WORKSPACE,…, spaces between; or *"
            raise ValueError(msg)
        key = self.queue_signing_key.get_secret_value()
        if 0 < len(key) < 32 or (not key and self.queue_workspaces.strip() != "*"):
            msg = "QUEUE_SIGNING_KEY: 32 characters at least, and never empty while QUEUE_WORKSPACES pins a queue"
            raise ValueError(msg)
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Return the settings that the environment holds; an empty value means the default.

        Raises:
            InvalidSettings: One is wrong.
        """
        names = cls.names()
        values = {name: environment[name] for name in names if environment.get(name)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = [": ".join([*(str(step) for step in item["loc"]), item["msg"]]) for item in error.errors()]
            raise InvalidSettings("Settings are not valid. " + "; ".join(wrong)) from None

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all settings, as the environment has them."""
        return [str(field.alias) for field in cls.model_fields.values()]

    @property
    def use_lag(self) -> timedelta:
        """How late a use may become known to the registry."""
        return timedelta(seconds=self.record_use_every)
