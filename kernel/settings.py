"""Every setting of the app, read once from the environment and checked before anything starts.

It has checks of its own, as importing pydantic, which is used elsewhere, would take two thirds of a cold start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, Literal, Self

from kernel.setting_parsers import (
    NO_SECRET,
    Secret,
    choice,
    flag,
    name,
    number,
    seconds,
    secret,
    setting,
    shares,
    text,
    whole,
)

_RULE = r"[^/=\s,]+(?:/[^=\s,]+)?=[^=\s]+"
_QUEUE_WORKSPACES = re.compile(rf"\s*(?:\*|{_RULE}(?:\s+{_RULE})*)\s*")
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_SCALED = re.compile(r"(?:/subscriptions/.+|http://(?:127\.0\.0\.1|localhost):\d{1,5}/workers)?")
_ENDPOINT = re.compile(r"(?:https://.+|http://(?:127\.0\.0\.1|localhost)[:/].+)?")
_QUEUES = re.compile(r"(?:[A-Za-z0-9][\w./-]*(?:\s*,\s*[A-Za-z0-9][\w./-]*)*)?")
_MODULES = re.compile(r"(?:[A-Za-z_][\w.]*(?:\s*,\s*[A-Za-z_][\w.]*)*)?")
_STRATEGY = r"(?:sieve|lru|s3-fifo|w-tinylfu)(?:/(?:0(?:\.\d+)?|1(?:\.0+)?))?"
_STRATEGIES = re.compile(rf"(?:{_STRATEGY}(?:\s*,\s*{_STRATEGY}){{0,7}})?")
_URL = re.compile(r"(?:https?://\S+)?")


class InvalidSettings(Exception):
    """A setting is missing or wrong; the text names each and its fault, never its value."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings. Each is an app setting (an environment variable) with the name given in its definition.

    In Python they have names of their own, `Settings(openai_base_url="http://127.0.0.1:11434/v1")`; `of` takes a
    mapping with either names. An unknown name is an error.

    Durations are in seconds. Connections are connection strings; for a managed identity, use the settings with
    `__endpoint` and `__fullyQualifiedNamespace` instead.
    """

    tables_connection: Secret = setting(NO_SECRET, "TablesConnection", secret)  # noqa: RUF009 - a field
    """Connection string of the storage account that holds the tables."""
    tables_endpoint: str = setting("", "TablesConnection__endpoint", text())
    """Table endpoint for access with the app's identity, like https://NAME.table.core.windows.net."""
    blob_endpoint: str = setting("", "BLOB_ENDPOINT", text())
    """Blob endpoint of that account, for texts that are too long for a row; empty to derive it from the table
    endpoint."""
    service_bus_connection: Secret = setting(NO_SECRET, "ServiceBusConnection", secret)  # noqa: RUF009 - a field
    """Connection string of the Service Bus namespace."""
    service_bus_namespace: str = setting("", "ServiceBusConnection__fullyQualifiedNamespace", text())
    """Namespace for access with the app's identity, like NAME.servicebus.windows.net."""
    run_queue: str = setting("agent-runs", "RUN_QUEUE", name)
    """The queue of runs; sessions must be enabled on it."""
    run_queue_priority: str = setting("agent-runs-priority", "RUN_QUEUE_PRIORITY", name)
    """The queue of runs of high priority; a queue of its own, with the same properties."""
    run_queue_low: str = setting("agent-runs-low", "RUN_QUEUE_LOW", name)
    """The queue of runs of low priority, such as those of batches; a queue of its own, with the same properties."""
    reply_queues: str = setting("", "REPLY_QUEUES", text(_QUEUES))
    """Queues that callbacks may use, separated by commas; never queues of runs. Empty for none."""
    queue_workspaces: str = setting("*", "QUEUE_WORKSPACES", text())
    """Workspaces that unsigned messages may name, like `agent-runs=acme,contoso agent-runs/SUBJECT=hr`; `*` for any."""
    queue_signing_key: Secret = setting(NO_SECRET, "QUEUE_SIGNING_KEY", secret)  # noqa: RUF009 - a field
    """Key, of at least 32 characters, of signatures of queue messages; empty for no signatures."""

    public_url: str = setting("", "PUBLIC_URL", text())
    """Base URL of the app's API, like `https://app.example.com/api`; empty for no links to it."""
    approval_links: bool = setting(False, "APPROVAL_LINKS", flag)
    """Whether notifications of approvals have links that decide without signing in; needs PUBLIC_URL."""

    openai_base_url: str = setting("https://api.openai.com/v1", "OPENAI_BASE_URL", name)
    """Base URL of an OpenAI-compatible endpoint, like http://127.0.0.1:11434/v1 for Ollama."""
    openai_api_key: Secret = setting(NO_SECRET, "OPENAI_API_KEY", secret)  # noqa: RUF009 - a field
    """Key of that endpoint, or of Azure OpenAI; empty with Azure OpenAI for the app's identity."""
    azure_openai_endpoint: str = setting("", "AZURE_OPENAI_ENDPOINT", text())
    """Azure OpenAI resource to use instead, like https://NAME.openai.azure.com."""
    azure_openai_api_version: str = setting("", "AZURE_OPENAI_API_VERSION", text())
    """API version of that resource; empty for the SDK's default."""
    foundry_project_endpoint: str = setting("", "FOUNDRY_PROJECT_ENDPOINT", text(_ENDPOINT))
    """Foundry project of the provider `foundry`, like https://NAME.services.ai.azure.com/api/projects/PROJECT."""
    model_timeout: float = setting(120, "MODEL_TIMEOUT_S", seconds)
    """Time limit of one model call."""

    registry_owner: str = setting("agent-lifecycle", "REGISTRY_OWNER", name)
    """Marks agents at a provider as this app's; apps that share a provider need different owners."""
    agent_cache_size: int = setting(50, "AGENT_CACHE_SIZE", whole(1, 100_000))
    """Live agents that a worker caches."""
    agent_cache_max_size: int = setting(0, "AGENT_CACHE_MAX_SIZE", whole(0, 100_000))
    """Size up to which a worker's cache adapts to its load, starting from AGENT_CACHE_SIZE; 0 for a fixed size."""
    agent_cache_memory_share: float = setting(0.8, "AGENT_CACHE_MEMORY_SHARE", number(0, 1, above=True))
    """Share of a worker's memory, 0-1, from which on an adaptive cache shrinks."""
    agent_cache_trust: float = setting(10, "AGENT_CACHE_TRUST_S", seconds)
    """How long a worker uses a cached agent without checking whether it was changed or disabled."""
    agent_cache_policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"] = setting(
        "sieve", "AGENT_CACHE_POLICY", choice("sieve", "lru", "s3-fifo", "w-tinylfu")
    )
    """Eviction policy of a worker's cache of agents."""
    preload_share: float = setting(0.8, "PRELOAD_SHARE", number(0, 1))
    """Share of AGENT_CACHE_SIZE, 0-1, that a worker may fill at first with preloaded agents; 0 for none."""
    preload_threshold: float = setting(0.7, "PRELOAD_THRESHOLD", number(0, 1))
    """Least priority, 0-1, of agents to preload."""
    preload_every: float = setting(300, "PRELOAD_EVERY_S", seconds)
    """How often a worker checks which agents to preload."""
    preload_companion_share: float = setting(0.3, "PRELOAD_COMPANION_SHARE", number(0, 1))
    """Share of an agent's uses, 0-1, after which another agent must be used to be preloaded with it."""
    preload_weights: tuple[float, ...] = setting((0.4, 0.3, 0.3), "PRELOAD_WEIGHTS", shares(3))
    """Weights of frequency, recency and success in an agent's priority."""
    preload_unused_after: float = setting(3600, "PRELOAD_UNUSED_AFTER_S", seconds)
    """After how long without a use an agent counts as preloaded in vain."""
    preload_requested_for: float = setting(86_400, "PRELOAD_REQUESTED_FOR_S", seconds)
    """How long workers preload the agents that `POST loader/preload` named."""
    preload_warm_timeout: float = setting(15, "PRELOAD_WARM_TIMEOUT_S", seconds)
    """How long getting a preloaded agent's token, connections and MCP servers ready may take."""
    loader_strategies: str = setting("", "LOADER_STRATEGIES", text(_STRATEGIES))
    """Strategies to compare, each `policy` or `policy/preload share`, separated by commas; empty for the settings
    above."""
    loader_ranked: int = setting(512, "LOADER_RANKED", whole(10, 5_000))
    """Most agents that are ranked, over all workspaces."""
    loader_retention_days: int = setting(30, "LOADER_RETENTION_DAYS", whole(1, 365))
    """How many days uses of agents by users are stored."""
    loader_half_life: float = setting(259_200, "LOADER_HALF_LIFE_S", number(3600, 366 * 86_400))
    """After how long a use counts half for an agent's frequency, success and companions."""
    loader_recency_half_life: float = setting(21_600, "LOADER_RECENCY_HALF_LIFE_S", number(60, 366 * 86_400))
    """After how long without a use an agent's recency is a half."""
    loader_together: float = setting(600, "LOADER_TOGETHER_S", number(1, 3600))
    """Within what time one user uses agents that are used together; users are told apart for an hour only."""
    loader_companions: int = setting(8, "LOADER_COMPANIONS", whole(0, 32))
    """Most companions of an agent that are learnt; 0 for none."""
    loader_inactive_after: float = setting(86_400, "LOADER_INACTIVE_AFTER_S", seconds)
    """Time without a use after which a worker evicts an agent."""
    loader_schedule: str = setting("0 4-59/10 * * * *", "LOADER_SCHEDULE", name)
    """When uses of agents are added to the ranking (NCRONTAB, UTC)."""
    provision_wait: float = setting(20, "PROVISION_WAIT_S", seconds)
    """How long a run waits for its agent to be provisioned before it is retried."""
    record_use_every: float = setting(5, "RECORD_USE_EVERY_S", seconds)
    """Least interval at which a worker reports uses of an agent to its actor."""

    extensions: str = setting("", "EXTENSIONS", text(_MODULES))
    """Modules with the app's tools, checks and so on, separated by commas; empty for the folder `extensions`, if it
    exists."""
    mcp_allow_private: bool = setting(False, "MCP_ALLOW_PRIVATE", flag)
    """Whether MCP servers may be reached by plain http and at private addresses; only for local use."""

    max_query_bytes: int = setting(65_536, "MAX_QUERY_BYTES", whole(1, 196_608))
    """Largest query, in bytes of UTF-8; a queue message of the standard tier holds 256 KiB in all."""
    run_lease: float = setting(60, "RUN_LEASE_S", seconds)
    """How long a worker's lease of a run lasts without being renewed."""
    run_look_every: float = setting(1, "RUN_LOOK_EVERY_S", seconds)
    """How often a worker checks a run for cancellation, writes its progress and renews its lease."""
    run_timeout: float = setting(600, "RUN_TIMEOUT_S", seconds)
    """Time limit of one attempt of a run."""
    run_max_attempts: int = setting(5, "RUN_MAX_ATTEMPTS", whole(1, 100))
    """Attempts after which a run is given up; the same as the queue's maximum delivery count."""
    run_retry_base: float = setting(0.5, "RUN_RETRY_BASE_S", seconds)
    """Delay before a run's second attempt; doubled for each further one, up to 30 s."""
    run_retry_longest: float = setting(900, "RUN_RETRY_LONGEST_S", seconds)
    """Longest delay before a run's next attempt that a provider can ask for (`Retry-After`)."""
    http_streaming: bool = setting(False, "HTTP_STREAMING", flag)
    """Whether answers are streamed over HTTP; needs Python 3.13 on Azure Functions."""
    mcp_agent_tools: int = setting(20, "MCP_AGENT_TOOLS", whole(0, 200))
    """Most agents that the MCP server offers as tools of their own, first by name; the others by `ask_agent`."""
    history_turns: int = setting(40, "HISTORY_TURNS", whole(0, 1000))
    """Most messages of a session's history sent to the model."""
    history_tokens: int = setting(32_000, "HISTORY_TOKENS", whole(100, 10_000_000))
    """Most tokens (estimated) of a session's history sent to the model; the oldest messages are left out first."""

    evaluation_share: float = setting(1, "EVALUATION_SHARE", number(0, 1))
    """Share of answers that are scored, 0-1, unless the agent's evaluation policy sets it."""
    evaluation_schedule: str = setting("45 * * * * *", "EVALUATION_SCHEDULE", name)
    """When judges are asked about answers, and scores are summed (NCRONTAB, UTC)."""
    check_timeout: float = setting(5, "CHECK_TIMEOUT_S", seconds)
    """Time limit of one check of an answer; after it, the check is left out of the score."""

    prune_schedule: str = setting("0 */15 * * * *", "PRUNE_SCHEDULE", name)
    """When idle agents are retired (NCRONTAB, UTC)."""
    idle_after: float = setting(604_800, "IDLE_AFTER_S", seconds)
    """Time without use after which an agent is retired, unless its spec sets it."""
    keep_new_for: float = setting(3600, "KEEP_NEW_FOR_S", number(0, 366 * 86400))
    """Age below which agents are never retired by the timer."""
    prune_grace: float = setting(86400, "PRUNE_GRACE_S", number(0, 366 * 86400))
    """How long a retired agent's versions stay at the provider, disabled and archived, before they are deleted."""
    versions_kept: int = setting(3, "VERSIONS_KEPT", whole(0, 100))
    """How many superseded versions of an agent are kept; older ones are deleted unless a session is pinned to them."""
    verify_schedule: str = setting("0 10,40 * * * *", "VERIFY_SCHEDULE", name)
    """When agents are verified at their providers (NCRONTAB, UTC)."""
    verify_after: float = setting(86400, "VERIFY_AFTER_S", seconds)
    """Time after which an agent is verified again at its provider."""
    verify_sample: int = setting(50, "VERIFY_SAMPLE", whole(1, 10_000))
    """How many agents are verified at a time, longest unverified first."""
    aggregation_schedule: str = setting("35 * * * * *", "AGGREGATION_SCHEDULE", name)
    """When new facts of attempts are added to sums (NCRONTAB, UTC)."""
    report_schedule: str = setting("0 */5 * * * *", "REPORT_SCHEDULE", name)
    """When reports are updated from the sums of facts (NCRONTAB, UTC)."""
    configuration_schedule: str = setting("50 * * * * *", "CONFIGURATION_SCHEDULE", name)
    """When remaining agents are updated after changes of templates, personalities and so on (NCRONTAB, UTC)."""
    drift_schedule: str = setting("0 23 * * * *", "DRIFT_SCHEDULE", name)
    """When agents are compared with their versions at providers, for the counts of drift (NCRONTAB, UTC)."""
    session_expiry_schedule: str = setting("30 */5 * * * *", "SESSION_EXPIRY_SCHEDULE", name)
    """When idle sessions are ended (NCRONTAB, UTC)."""
    session_idle_after: float = setting(86400, "SESSION_IDLE_AFTER_S", seconds)
    """Time without a run after which a session is ended."""
    dead_letter_schedule: str = setting("15 * * * * *", "DEAD_LETTER_SCHEDULE", name)
    """When dead letters are searched for runs whose workers died at every attempt (NCRONTAB, UTC)."""

    events_schedule: str = setting("0 20 * * * *", "EVENTS_SCHEDULE", name)
    """When old events are deleted (NCRONTAB, UTC)."""
    events_retention: float = setting(604_800, "EVENTS_RETENTION_S", number(3600, 10 * 366 * 86400))
    """How long events are stored."""

    alert_schedule: str = setting("45 * * * * *", "ALERT_SCHEDULE", name)
    """When alert rules are evaluated (NCRONTAB, UTC)."""
    alert_defaults: bool = setting(True, "ALERT_DEFAULTS", flag)
    """Whether the default alert rules are enabled; each workspace can change that."""
    sla_latency_ms: int = setting(30_000, "SLA_LATENCY_MS", whole(1, 86_400_000))
    """Time, in milliseconds, in which an agent should answer 95 % of its runs, unless its spec sets it."""
    sla_availability: float = setting(0.99, "SLA_AVAILABILITY", number(0, 1, above=True))
    """Share of its runs, 0-1, that an agent should answer, unless its spec sets it."""
    planned_runs_schedule: str = setting("1 * * * * *", "PLANNED_RUNS_SCHEDULE", name)
    """When due runs of schedules and batches are submitted (NCRONTAB, UTC)."""
    notify_schedule: str = setting("55 * * * * *", "NOTIFY_SCHEDULE", name)
    """When notifications are delivered to channels (NCRONTAB, UTC)."""
    routes_allow_private: bool = setting(False, "ROUTES_ALLOW_PRIVATE", flag)
    """Whether routes may use plain http and private addresses; only for local use."""
    route_refresh: float = setting(2, "ROUTE_REFRESH_S", seconds)
    """How long a worker caches a route's state; within it, it learns of deployments' failures seen by other workers."""

    webhooks_allow_private: bool = setting(False, "WEBHOOKS_ALLOW_PRIVATE", flag)
    """Whether webhooks may use plain http and private addresses; only for local use."""

    event_grid_key: Secret = setting(NO_SECRET, "EVENT_GRID_KEY", secret)  # noqa: RUF009 - a field
    """Key of Event Grid topics that channels send to; empty for the app's identity."""
    email_from: str = setting("", "EMAIL_FROM", text())
    """Sender's address of email; empty for no email. Requires SMTP_HOST or EmailConnection."""
    email_domains: str = setting("", "EMAIL_DOMAINS", text())
    """Domains that email may go to, separated by commas; empty for any."""
    email_connection: Secret = setting(NO_SECRET, "EmailConnection", secret)  # noqa: RUF009 - a field
    """Connection string of an Azure Communication Services resource that sends email."""
    email_endpoint: str = setting("", "EmailConnection__endpoint", text())
    """Endpoint of that resource for access with the app's identity, like https://NAME.communication.azure.com."""
    smtp_host: str = setting("", "SMTP_HOST", text())
    """Mail server that sends email instead of that resource."""
    smtp_port: int = setting(587, "SMTP_PORT", whole(1, 65535))
    """Port of the mail server: usually 587 for STARTTLS, 465 for TLS from the first byte."""
    smtp_security: Literal["starttls", "tls", "none"] = setting(
        "starttls", "SMTP_SECURITY", choice("starttls", "tls", "none")
    )
    """Encryption of the connection to the mail server; `none` only for a server on the same machine."""
    smtp_username: str = setting("", "SMTP_USERNAME", text())
    """User name at the mail server; empty for none."""
    smtp_password: Secret = setting(NO_SECRET, "SMTP_PASSWORD", secret)  # noqa: RUF009 - a field
    """Password at the mail server, in Azure a Key Vault reference."""

    budget_trust: float = setting(5, "BUDGET_TRUST_S", seconds)
    """How long a worker caches budgets and rates."""
    budget_wait: float = setting(5, "BUDGET_WAIT_S", seconds)
    """How long a model call waits for a budget's reservations of others, before its run waits."""
    budget_output_tokens: int = setting(4096, "BUDGET_OUTPUT_TOKENS", whole(1, 1_000_000))
    """Most output tokens of a model call within budgets, if the agent's spec sets none."""
    budget_schedule: str = setting("20 * * * * *", "BUDGET_SCHEDULE", name)
    """When expired reservations are released, waiting runs checked, and the usage of pools sampled (NCRONTAB, UTC)."""
    pool_wait: float = setting(5, "POOL_WAIT_S", seconds)
    """How long a run waits in a worker for capacity in its agent's pool, before it is put back on the queue."""
    scaling_site: str = setting("", "SCALING_SITE", text(_SCALED))
    """What is scaled: the resource id of the Function App, or the address at which the local host takes the number of
    its worker processes; empty for recommendations alone."""
    scaling_apply: bool = setting(False, "SCALING_APPLY", flag)
    """Whether `POST scaling/apply` may change it; the app's identity needs the role for that."""
    scaling_workspace: str = setting("default", "SCALING_WORKSPACE", name)
    """The workspace whose callers see and change the app's scaling, and run timers: both affect all workspaces."""
    arm_endpoint: str = setting("https://management.azure.com", "ARM_ENDPOINT", text(_ENDPOINT))
    """URL of Azure Resource Manager; differs in other clouds than the public one."""
    runaway_same_tool_calls: int = setting(10, "RUNAWAY_SAME_TOOL_CALLS", whole(0, 10_000))
    """Most calls of one tool with the same arguments in an attempt before the run fails; 0 for no limit."""
    runaway_usd_per_minute: float = setting(10, "RUNAWAY_USD_PER_MINUTE", number(0, 1_000_000))
    """Most that a run may spend within a minute before it fails, in USD; 0 for no limit."""

    auth_mode: Literal["keys", "entra"] = setting("keys", "AUTH_MODE", choice("keys", "entra"))
    """Who may call: holders of a function key, or users signed in by App Service authentication."""
    workspace_claim: str = setting("tid", "WORKSPACE_CLAIM", name)
    """With `entra`: the claim whose value is the caller's workspace."""
    trust_workspace_header: bool = setting(False, "TRUST_WORKSPACE_HEADER", flag)
    """With `keys`: whether the X-Workspace header names the workspace; only behind a gateway that sets it."""

    application_insights: Secret = setting(NO_SECRET, "APPLICATIONINSIGHTS_CONNECTION_STRING", secret)  # noqa: RUF009 - a field
    """Connection string of Application Insights for traces, logs and metrics; empty for none."""
    otlp_endpoint: str = setting("", "OTEL_EXPORTER_OTLP_ENDPOINT", text(_URL))
    """Base URL of an OTLP/HTTP receiver for the same, like http://127.0.0.1:4318; empty for none."""
    telemetry_content: bool = setting(False, "ENABLE_SENSITIVE_DATA", flag)
    """Whether prompts, answers and tool arguments are part of the traces."""
    metrics_every: float = setting(15, "METRICS_EVERY_S", seconds)
    """Least interval at which a worker stores its metrics for `GET metrics`."""

    def __post_init__(self) -> None:
        """Check each setting, then their combinations.

        Raises:
            InvalidSettings: One is wrong.
        """
        wrong: list[str] = []
        for each in fields(self):
            try:
                object.__setattr__(self, each.name, each.metadata["read"](getattr(self, each.name)))
            except ValueError as error:
                wrong.append(f"{each.metadata['alias']}: {error}")
        if not wrong:
            wrong = list(self._contradictions())
        if wrong:
            raise InvalidSettings("Settings are not valid. " + "; ".join(wrong))

    def _contradictions(self) -> Iterator[str]:
        if self.run_look_every * 3 > self.run_lease:
            yield "RUN_LOOK_EVERY_S: at most a third of RUN_LEASE_S, or a lease runs out before it is renewed"
        if 0 < self.agent_cache_max_size < self.agent_cache_size:
            yield "AGENT_CACHE_MAX_SIZE: at least AGENT_CACHE_SIZE, or 0"
        if self.run_queue.casefold() == self.run_queue_priority.casefold():
            yield "RUN_QUEUE_PRIORITY: not the queue that RUN_QUEUE names, or no message says what priority it has"
        runs = {self.run_queue.casefold(), self.run_queue_priority.casefold(), self.run_queue_low.casefold()}
        if self.run_queue_low.casefold() in (self.run_queue.casefold(), self.run_queue_priority.casefold()):
            yield "RUN_QUEUE_LOW: not the queue that RUN_QUEUE or RUN_QUEUE_PRIORITY names, for the same reason"
        if runs & {name.strip().casefold() for name in self.reply_queues.split(",")}:
            yield "REPLY_QUEUES: none of the queues of runs, or a reply would be taken for a run"
        if not _QUEUE_WORKSPACES.fullmatch(self.queue_workspaces):
            yield "QUEUE_WORKSPACES: rules are QUEUE=WORKSPACE,… or QUEUE/SUBJECT=WORKSPACE,…, spaces between; or *"
        if self.approval_links and not self.public_url:
            yield "APPROVAL_LINKS: false, or PUBLIC_URL set, where links lead to"
        if self.public_url and not self.public_url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            yield "PUBLIC_URL: an https:// URL, or empty"
        key = self.queue_signing_key.get_secret_value()
        if 0 < len(key) < 32 or (not key and self.queue_workspaces.strip() != "*"):
            yield "QUEUE_SIGNING_KEY: 32 characters at least, and never empty while QUEUE_WORKSPACES pins a queue"
        services = [self.smtp_host, self.email_endpoint or self.email_connection.get_secret_value()]
        if sum(map(bool, services)) != bool(self.email_from):
            yield "EMAIL_FROM: goes together with just one of SMTP_HOST, EmailConnection and EmailConnection__endpoint"
        if self.smtp_username and self.smtp_security == "none" and self.smtp_host not in _THIS_MACHINE:
            yield "SMTP_SECURITY: a password is not sent in the clear; use starttls or tls"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return settings with these values, each by its name in the environment or in Python.

        Raises:
            InvalidSettings: One is wrong or unknown.
        """
        names = {each.metadata["alias"]: each.name for each in fields(cls)}
        by_name = {names.get(name, name): value for name, value in values.items()}
        if unknown := sorted(by_name.keys() - set(names.values())):
            raise InvalidSettings(f"There is no setting {', '.join(unknown)}.")
        return cls(**by_name)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return settings from environment variables; an empty value means the default.

        Raises:
            InvalidSettings: One is wrong.
        """
        return cls.of({name: environment[name] for name in cls.names() if environment.get(name)})

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of all settings in the environment."""
        return [each.metadata["alias"] for each in fields(cls)]

    def by_alias(self) -> dict[str, Any]:
        """Return the values by their names in the environment."""
        return {each.metadata["alias"]: getattr(self, each.name) for each in fields(self)}

    @property
    def use_lag(self) -> timedelta:
        """How late a use may become known to the registry."""
        return timedelta(seconds=self.record_use_every)
