"""The API's values, generated from its openapi.json by `make client`. Do not edit."""

from __future__ import annotations
from typing import Any, Literal
from pydantic import AwareDatetime, BaseModel, Field
from datetime import date, time


class AgentStatsView(BaseModel):
    """
    How an agent is used: runs counted by the registry, versions made and found there.

    `reused` counts the runs that found a version used before: all but the first of each version made.
    """

    name: str
    state: Literal[
        "registered", "provisioning", "active", "idle", "disabled", "failed", "deleted"
    ] = Field(..., description="Where an agent is in its life.")
    uses: int
    last_used: AwareDatetime | None
    versions_created: int
    versions_adopted: int
    reused: int


class AgentStatusView(BaseModel):
    """
    Agents held, and how many there are; `total_configurations` is null for one worker.
    """

    active_agents: int
    total_configurations: int | None
    max_active: int
    cache_utilization: float


class AgentUseView(BaseModel):
    """
    What an agent that has a share of its own uses.
    """

    agent: str
    runs: int
    tokens: int
    requests: int


class AgentVersionView(BaseModel):
    """
    A version of an agent; `current` is the one that runs use unless their session is pinned to another.
    """

    name: str
    version: str
    id: str
    created_at: AwareDatetime
    provider: str
    fingerprint: str
    current: bool
    pinned_sessions: int
    kept_because: str


class AlertRule(BaseModel):
    """
    When to alert.

    Attributes:
        metric: What to look at.
        agent: Whose; `support-*` for all whose names begin so together, those that are declared later included; None or
            `*` for all agents of the workspace together.
        condition: How it compares with the threshold when it is bad: `gt`, `gte`, `lt` or `lte`.
        threshold: What it is compared with; times in ms, shares 0-1, money in USD.
        recover_at: What it must be back at, beyond the threshold, before the alert resolves; None for the threshold.
            It keeps a figure that wavers around the threshold from firing again and again.
        window_s: The time that is looked at, up to now, in seconds; by the minute up to six hours, else by the hour.
        min_runs: Fewest runs in the window; with fewer, a metric that rests on runs has no data.
        severity: How bad it is.
        cooldown_s: Shortest time between two firings, in seconds.
        channels: Where it is told; empty for every channel that wants `alert.fired` and `alert.resolved`.
        enabled: False switches it off; a firing that is open resolves.
        description: For people; part of the notification.
    """

    metric: Literal[
        "latency_mean_ms",
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "model_p95_ms",
        "queue_p95_ms",
        "error_rate",
        "retry_rate",
        "availability",
        "quality",
        "runs_per_minute",
        "runs",
        "failed_runs",
        "dead_letters",
        "budget_blocks",
        "tokens",
        "cost_usd",
        "cost_per_run_usd",
        "wasted_share",
        "unpriced_calls",
        "unmetered_calls",
        "cost_today_usd",
        "versions_created",
        "create_failures",
        "delete_failures",
        "drift",
        "leaks",
        "cache_hit_rate",
        "cache_hit_rate_fall",
        "handoffs",
        "handoffs_returned_share",
        "escalations",
        "person_answer_s",
        "sessions_open",
        "runs_running",
        "runs_waiting",
        "runs_held",
        "longest_wait_s",
        "conversations_waiting",
        "person_wait_s",
        "conversations_without_room",
        "approvals_pending",
        "approval_wait_s",
        "agents",
        "agents_registered",
        "agents_provisioning",
        "agents_active",
        "agents_idle",
        "agents_disabled",
        "agents_failed",
        "budget_used_share",
        "timers_failing",
        "memory_share",
        "cpu_share",
        "pool_used_share",
    ]
    agent: str | None = None
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    recover_at: float | None = None
    window_s: int | None = 300
    min_runs: int | None = 1
    severity: Literal["info", "warning", "critical"] | None = "warning"
    cooldown_s: int | None = 900
    channels: list[str] | None = []
    enabled: bool | None = True
    description: str | None = ""


class AlertStateView(BaseModel):
    """
    How a rule stands: `ok` or `firing`, since when, and the metric when it was last known.

    `no_data` says that the last evaluation had none; status and value are then of an earlier one.
    """

    status: str
    since: AwareDatetime
    value: float | None
    no_data: bool
    fired_at: AwareDatetime | None


class AlertView(BaseModel):
    """
    A rule, how it stands, and the channels it is told to.

    `default` says that it is there without being set. `misconfigured` names, by JSON pointer into the rule, an agent or
    a channel that is not there (any more). `state` is null until the rule is evaluated for the first time, a default
    rule's until it fires for the first time.
    """

    name: str
    default: bool
    recipients: list[str]
    misconfigured: dict[str, str]
    rule: AlertRule
    state: AlertStateView | None
    created_at: AwareDatetime | None
    updated_at: AwareDatetime | None


class AnomalyView(BaseModel):
    """
    An agent's day that stands out from the weeks before (micro-USD).
    """

    agent: str
    day: date
    cost_micro_usd: int
    usual_micro_usd: int
    score: float


class ApiCallView(BaseModel):
    """
    A call of this API.
    """

    method: str
    path: str
    body: dict[str, Any] | None
    if_match: str | None


class ApplyBody(BaseModel):
    """
    Which proposals to apply, by their ids.
    """

    proposals: list[str]


class ApprovalRule(BaseModel):
    """
    Tool calls that need an approval, and on what terms it is decided.

    Attributes:
        tools: Names of tools; `*` and `?` stand for any characters, and any one.
        when: A condition in CEL over the call's arguments, like `amount > 100`; None for every call.
        approvers: Who may decide, level by level: `user:…`, `role:…`, `group:…`, or `link` for whoever has the link of
            the notification; none for anybody in the workspace.
        expires_s: Seconds that each level has to decide.
        on_expiry: What then: `reject` the call, `escalate` to the next level and reject after the last, or `keep`
            waiting.
        not_requester: Whether whoever asked the agent may not decide.
    """

    tools: list[str]
    when: str | None = None
    approvers: list[list[str]] | None = []
    expires_s: int | None = 86400
    on_expiry: Literal["reject", "escalate", "keep"] | None = "reject"
    not_requester: bool | None = False


class ApprovalWhen(BaseModel):
    """
    A rule over a call's arguments that says when it needs an approval.
    """

    when: str


class BatchResultLine(BaseModel):
    """
    What came of a line: a run's state, or `not_submitted` or `refused`, and its answer or error.
    """

    id: str
    index: int
    agent: str
    run_id: str | None
    state: str
    answer: str | None
    error: str | None
    cost_micro_usd: int | None


class BatchView(BaseModel):
    """
    How far a batch is: runs submitted in order, of these on their way, and how the others ended.

    `stopped_by` says why no more are submitted: `cost_cap`, or `cost_unknown` where a model's price is not known.
    """

    id: str
    state: Literal["running", "cancelling", "completed", "cancelled", "stopped"] = (
        Field(..., description="How a batch stands.")
    )
    total: int
    submitted: int
    underway: int
    succeeded: int
    failed: int
    cancelled: int
    cost_micro_usd: int
    max_cost_micro_usd: int | None
    uncosted_runs: int
    stopped_by: str | None
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class BlockedRunView(BaseModel):
    """
    A run that waits for a budget: the beginning of what was asked, why it waits, and what it has spent so far.
    """

    id: str
    session_id: str
    agent: str
    user_id: str | None
    query: str
    code: str
    detail: str
    since: AwareDatetime
    cost_micro_usd: int


class BudgetPositionView(BaseModel):
    """
    Where a budget stands, in its unit's smallest part.
    """

    scope: str
    unit: str
    period: str
    limit: int
    spent: int
    reserved: int
    resets_at: AwareDatetime | None


class CachePerformanceView(BaseModel):
    """
    Look-ups since the workers started. A hit took no I/O; null shares: there is nothing to take a share of.
    """

    hit_rate: float | None
    cache_hits: int
    cache_misses: int
    total_loads: int
    evictions: int
    load_efficiency: float | None


class Callback(BaseModel):
    """
    Where a run's end is to be reported: a webhook's URL, or a Service Bus queue of the app's own namespace.

    Attributes:
        url: The webhook; itself a secret with many receivers, so it appears in no log and no answer.
        secret_setting: Name of the app setting with the secret that the webhook is signed with; empty for no signature.
        queue: The reply queue.
        session_id: SessionId of the reply; empty for the run's own session.
        correlation_id: CorrelationId of the reply; empty for the run's id.
        format: What the webhook is sent: empty for the run, `a2a` or `a2a-0.3` for a push notification of A2A.
        token, authorization: Headers of push notifications (X-A2A-Notification-Token, Authorization); secrets.
        id: What a push notification's configuration is known by; empty for the task's id.
    """

    url: str | None = ""
    secret_setting: str | None = ""
    queue: str | None = ""
    session_id: str | None = ""
    correlation_id: str | None = ""
    format: str | None = ""
    token: str | None = ""
    authorization: str | None = ""
    id: str | None = ""


class CalledFunction(BaseModel):
    """
    The function that a message calls, and its arguments as JSON.
    """

    name: str
    arguments: str | None = ""


class CalledFunctionView(BaseModel):
    """
    The function that the model asks for, and its arguments as JSON, as the model wrote them.
    """

    name: str
    arguments: str


class ChangeView(BaseModel):
    """
    How one part of the score differs between two versions, and whether that is more than chance.
    """

    part: str
    base: float | None
    new: float | None
    difference: float | None
    p_value: float | None
    base_count: int
    new_count: int
    verdict: Literal["worse", "better", "same", "too_few"]


class ChannelBody(BaseModel):
    """
    Where a workspace's notifications are to go.

    `url` is a webhook, `format` json (default), slack or teams; or `format` is email, and `to` has 1 to 20 addresses;
    or `format` is cloudevents, and the workspace's events go to `url`, an Event Grid topic for one, or to `queue`.
    `events` are patterns of the events it wants, `*` unless given. `secret`, of webhooks only, is `whsec_` and 24 to 64
    bytes in base64; left out it stays what it is, null or empty removes it. It is never shown again.
    """

    url: str | None = ""
    queue: str | None = ""
    to: list[str] | None = []
    format: str | None = "json"
    events: list[str] | None = ["*"]
    secret: str | None = None


class ChatToolCall(BaseModel):
    """
    A call of a tool of the caller's, as an earlier answer has it.
    """

    id: str
    function: CalledFunction | None = None


class ChatToolCallView(BaseModel):
    """
    A call of a tool of the caller's that the model asks for.
    """

    id: str
    type: Literal["function"] = "function"
    function: CalledFunctionView


class ClientTool(BaseModel):
    """
    A tool of the caller's.

    Attributes:
        name: What the model calls it by.
        description: What the model is told of it.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str | None = ""
    parameters: dict[str, Any] | None = None


class CodeInterpreter(BaseModel):
    """
    Runs Python that the model writes, in a container at the provider.

    Attributes:
        file_ids: Files uploaded to the project that the code may read.
        memory_limit: Memory of the container; None for the provider's default.
    """

    type: Literal["code_interpreter"]
    file_ids: list[str] | None = []
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None


class CompanionView(BaseModel):
    """
    An agent that one user used after another one, and in what share of its uses, 0-1.
    """

    agent: str
    share: float


class ComparisonView(BaseModel):
    """
    How a version of an agent answers compared with another.
    """

    agent: str
    base: str
    new: str
    verdict: Literal["worse", "better", "same", "too_few"]
    changes: list[ChangeView]


class CompletionTokensDetails(BaseModel):
    """
    Of the output tokens, those spent on reasoning.
    """

    reasoning_tokens: int


class Content(BaseModel):
    """
    A part of what was said.
    """

    type: str
    text: str | None = None


class Conversation(BaseModel):
    """
    A conversation.
    """

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


class ConversationBody(BaseModel):
    """
    A request for a conversation; `items` are refused, for a session begins with its first question.
    """

    metadata: dict[str, str] | None = None
    items: list[Any] | None = []


class ConversationId(BaseModel):
    """
    The conversation that a response is part of.
    """

    id: str


class ConversationRef(BaseModel):
    """
    A conversation, by its id.
    """

    id: str


class DataRetentionPolicy(BaseModel):
    """
    How long a workspace keeps its data; null keeps it until it is erased by a call.

    Of a session the time begins with its end, of the facts of attempts with theirs; facts go by whole days (UTC).

    Attributes:
        sessions_s: Seconds after which a session is erased, with all of what follows that is in it.
        transcripts_s: Seconds after which a session's messages and events are deleted, the texts of its runs (query,
            context, answer), and its conversation at the provider; its runs stay with their numbers.
        runs_s: Seconds after which a session's runs are deleted; the session stays with its counters.
        tool_calls_s: Seconds after which tools' calls, with their arguments, are deleted, in runs and in facts.
        evaluations_s: Seconds after which scores and their reasons are deleted, in runs and in facts.
        facts_s: Seconds after which the facts of attempts (model calls, tool calls, scores with their reasons) are
            deleted; their sums, which costs, performance and reports are made of, stay.
    """

    sessions_s: int | None = None
    transcripts_s: int | None = None
    runs_s: int | None = None
    tool_calls_s: int | None = None
    evaluations_s: int | None = None
    facts_s: int | None = None


class DeadLetterView(BaseModel):
    """
    A run that failed for good, or a message that the queue gave up on; `id` is the run's, or a number.
    """

    id: str
    code: str
    detail: str
    redrivable: bool
    run_id: str | None
    session_id: str | None
    agent: str | None
    deliveries: int
    enqueued_at: AwareDatetime


class DecisionBody(BaseModel):
    """
    A decision: `approve`, `reject`, or `amend` with the arguments to call the tool with instead.

    The model is told the reason of a rejection. `always` lets the same call pass from now on, `call` with the same
    arguments and `tool` with any, until the agent's version changes; with `approve` only.
    """

    decision: Literal["approve", "reject", "amend"]
    reason: str | None = ""
    arguments: dict[str, Any] | None = None
    always: Literal["call", "tool"] | None = None


class DecisionView(BaseModel):
    """
    What was decided, by whom and why; the hash is that of the arguments that it is about.
    """

    decision: str
    by: str
    reason: str
    at: AwareDatetime
    arguments_hash: str


class DegradationStep(BaseModel):
    """
    What an agent does from a share of its budget on: a cheaper model, ask, stop.

    Attributes:
        at: From how many percent of a budget on, 1-100: of the one that is nearest to its limit.
        do: `warn` tells; `cheaper_model` goes on with `model`; `ask` waits for an operator's approval; `stop` waits.
        model: The model to go on with; with `cheaper_model` only.
    """

    at: int
    do: Literal["warn", "cheaper_model", "ask", "stop"]
    model: str | None = None


class DeliveryView(BaseModel):
    """
    What became of a notification on its way to a channel: `retrying`, `delivered` or `failed` (given up).
    """

    id: str
    notification: str
    event: str
    title: str
    at: AwareDatetime
    state: str
    attempts: int
    status: int | None
    error: str | None
    last_at: AwareDatetime | None
    next_at: AwareDatetime | None


class DependentView(BaseModel):
    """
    Something that is composed of an item: an `agent`, a `template` or the workspace's `overrides`.
    """

    kind: str
    name: str


class DeploymentPriceBody(BaseModel):
    """
    What a deployment costs, in USD per million tokens; what is not given of the cache costs as input does.
    """

    input: float | str
    output: float | str
    cached_input: float | str | None = None
    cache_write: float | str | None = None


class DeploymentPriceView(BaseModel):
    """
    What a deployment costs, in USD per million tokens.
    """

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None


class DeploymentView(BaseModel):
    """
    A place where a route's calls can go.
    """

    name: str
    provider: Literal["openai", "azure_openai", "offline"]
    model: str
    endpoint: str | None
    api_version: str | None
    key_setting: str | None
    identity: bool
    priority: int
    weight: int
    tpm: int | None
    rpm: int | None
    price: DeploymentPriceView | None


class DeskView(BaseModel):
    """
    A conversation that a person has: since when, until when it is due, and who has taken it.
    """

    since: AwareDatetime
    due: AwareDatetime | None
    level: int
    claimed_by: str
    claimed_at: AwareDatetime | None


class ErrorObject(BaseModel):
    """
    What went wrong.
    """

    message: str
    type: str
    param: str | None
    code: str | None


class EscalationLevel(BaseModel):
    """
    Who has a conversation next that waits too long for a person.

    Attributes:
        level: Its place on the path, from 1.
        target: The member.
        after_s: Seconds that the level before has to answer; at level 1, the person it was handed to.
        notification_channels: The channels that are told; none for every one that wants the event.
        auto_escalate: Whether the conversation is moved; if not, only the channels are told.
    """

    level: int
    target: str
    after_s: int | None = 900
    notification_channels: list[str] | None = []
    auto_escalate: bool | None = True


class EventView(BaseModel):
    """
    An event of a session, as an export has it.
    """

    number: int
    name: str
    data: dict[str, Any]
    at: AwareDatetime


class ExecutionView(BaseModel):
    """
    What became of an approved call. `times` is more than 1 where a worker died before it could note the result.
    """

    times: int
    started_at: AwareDatetime
    finished_at: AwareDatetime | None


class ExportItemView(BaseModel):
    """
    One thing of the workspace, as its own endpoint answers it; of a session, its export.
    """

    kind: Literal[
        "agent",
        "template",
        "personality",
        "capability",
        "overrides",
        "workflow",
        "team",
        "pool",
        "route",
        "schedule",
        "batch",
        "budget",
        "price",
        "alert",
        "channel",
        "approval_policy",
        "approval_rule",
        "approval",
        "report",
        "retention_receipt",
        "retention_policy",
        "hold",
        "session",
        "preferences",
        "run",
    ]
    data: Any = Field(
        ...,
        description="As GET on the thing itself, and for a session GET sessions/{id}/export, answers.",
    )


class ExportPage(BaseModel):
    """
    Things of the workspace, or of a user, by kind; `next` leads on until all were given.
    """

    items: list[ExportItemView]
    next: str | None


class FailureView(BaseModel):
    """
    Why something failed: a stable code and a sentence.
    """

    code: str
    detail: str


class FeedbackBody(BaseModel):
    """
    What somebody thinks of an answer; `comment` is kept as the reason of the score, and erased with the session.
    """

    helpful: bool
    comment: str | None = None


class FileSearch(BaseModel):
    """
    Searches files in vector stores of the project.

    Attributes:
        vector_store_ids: The stores to search.
        max_num_results: Most passages to return; None for the provider's default.
    """

    type: Literal["file_search"]
    vector_store_ids: list[str]
    max_num_results: int | None = None


class FiringView(BaseModel):
    """
    An alert that fired, with the rule as it was then. `resolution` is recovered, disabled or deleted.
    """

    id: str
    alert: str
    metric: str
    agent: str | None
    condition: str
    threshold: float
    window_s: int
    severity: str
    channels: list[str]
    description: str
    value: float
    fired_at: AwareDatetime
    resolved_at: AwareDatetime | None
    resolved_value: float | None
    resolution: str | None


class FollowedView(BaseModel):
    """
    What a change did: agents looked at, changed, and unable to follow; `complete` is false while a timer goes on.
    """

    looked: int
    changed: int
    refused: int
    complete: bool


class ForecastHourView(BaseModel):
    """
    The runs that an hour is expected to bring.
    """

    start: AwareDatetime
    runs: float


class ForecastView(BaseModel):
    """
    What the month is expected to come to (micro-USD), and between what it will be four times in five.
    """

    expected: int
    low: int
    high: int
    from_days: int


class FoundryPolicy(BaseModel):
    """
    Having Microsoft Foundry's evaluators judge answers, after they are given.

    Attributes:
        model: The model deployment that they use.
        evaluators: Names of built-in evaluators, like `relevance` and `coherence`.
        share: Share of the answers they judge, 0-1.
    """

    model: str
    evaluators: list[str] | None = ["relevance", "coherence"]
    share: float | None = 0.1


class GroupChat(BaseModel):
    """
    A step in which several agents talk to one another.

    Without a manager they speak in turns, as Agent Framework's group chat has it; a manager plans, says who speaks
    about what, and writes the answer, as its Magentic orchestration has it. Each time one speaks is a run.

    Attributes:
        name: Its name in the workflow; its answer is what was said last.
        group_chat: The agents that talk.
        manager: The agent that leads them; None for taking turns.
        max_rounds: How often one of them speaks, the manager not counted.
        prompt: What they talk about: text with `{input}` and `{steps.NAME.answer}` of steps before it.
        timeout_s: Seconds that one time of speaking may take; None for as long as a run may take.
        retries: How often each is asked again whose run fails or takes too long.
        when: A condition without which it is skipped; None for always.
        on_failure: Whether the workflow then fails, or goes on without its answer.
    """

    name: str
    group_chat: list[str]
    manager: str | None = None
    max_rounds: int | None = 6
    prompt: str | None = "{input}"
    timeout_s: int | None = None
    retries: int | None = 0
    when: str | None = None
    on_failure: Literal["fail", "continue"] | None = "fail"


class Guideline(BaseModel):
    """
    What to do in a case.

    Attributes:
        when: The case, to be read after "When".
        then: What to do in it.
        priority: 0-100; of two guidelines that conflict, the one with the higher priority counts.
        category: What it is about, like `safety`; None for nothing in particular.
    """

    when: str
    then: str
    priority: int | None = 50
    category: str | None = None


class HandoffBody(BaseModel):
    """
    A conversation that is to change hands, to a member or to any with a specialization; else to whoever can.

    `preserve_full_context` has the next agent told the whole history, or none of it; as the team says unless given.
    """

    reason: str
    target: str | None = None
    target_specialization: str | None = None
    urgency: Literal["low", "medium", "high"] | None = "medium"
    preserve_full_context: bool | None = None
    facts: list[str] | None = []
    open_questions: list[str] | None = []


class HandoffCountsView(BaseModel):
    """
    How many handoffs there were: of all teams, by team, and by who or what had them.
    """

    total: int
    by_team: dict[str, int]
    by: dict[str, int]


class HandoffPolicy(BaseModel):
    """
    How conversations change hands.

    Attributes:
        context: What the next agent is told of the conversation: `full`, the `last` turns, a `summary` that the model
            which hands over writes, or `none`. What the run asks is always told, and the note of the handoff.
        last_turns: How many runs of the history `last` is.
        summarizer: The agent that writes a `summary` where the model that hands over has written none; an agent without
            tools. None for nobody: the next one is told the last runs then.
        max_hops: Most members that one run goes on to.
        max_returns: How often one run may come back to the same member.
        when_impossible: What becomes of a run that no member can take: the member that has it goes on with it
            (`stay`), or the run fails (`fail`).
    """

    context: Literal["full", "last", "summary", "none"] | None = "full"
    last_turns: int | None = 5
    summarizer: str | None = None
    max_hops: int | None = 5
    max_returns: int | None = 1
    when_impossible: Literal["stay", "fail"] | None = "stay"


class HealthView(BaseModel):
    """
    Whether the app and what it stands on can be reached; `warnings` do not make it unhealthy.
    """

    status: str
    components: dict[str, str]
    warnings: list[str]


class HoldBody(BaseModel):
    """
    Why a hold is placed.
    """

    reason: str


class HoldView(BaseModel):
    """
    A legal hold.
    """

    scope: str
    reason: str
    since: AwareDatetime
    by: str | None


class HopView(BaseModel):
    """
    A run going on with another member of its team, why, and what it had cost with the member before.
    """

    at: AwareDatetime
    source: str
    target: str
    by: str
    reason: str
    agent: str
    cost_micro_usd: int


class HourView(BaseModel):
    """
    What happened to agents in a UTC hour, like `2026-11-21T08`; steps are those of an agent's audit trail.
    """

    hour: str
    steps: dict[str, int]


class Hours(BaseModel):
    """
    When people are there.

    Attributes:
        time_zone: An IANA name, like `Europe/Berlin`.
        days: Which days.
        start: From when, like `09:00`.
        end: Until when; before `start`, on the next day.
    """

    time_zone: str | None = "UTC"
    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = [
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
    ]
    start: time | None = None
    end: time | None = None


class Incomplete(BaseModel):
    """
    Why a response is not complete.
    """

    reason: str


class InputTokensDetails(BaseModel):
    """
    Of the input tokens, those that the provider's cache had.
    """

    cached_tokens: int
    cache_write_tokens: int | None = 0


class InsightView(BaseModel):
    """
    Something worth knowing of an agent: the rule that found it, what the figures say and what to do about it.
    """

    code: str
    severity: str
    cause: str
    recommendation: str
    figures: dict[str, float]


class InsightsView(BaseModel):
    """
    What an agent's figures say, the worst first; empty where there is too little to go by.
    """

    agent: str
    first: date
    last: date
    items: list[InsightView]


class JsonRpcErrorObject(BaseModel):
    """
    What went wrong; `data` may have our own `code`.
    """

    code: int
    message: str
    data: Any | None = None


class JsonRpcErrorView(BaseModel):
    """
    An error of JSON-RPC; `id` is that of the request, null where there was none to read.
    """

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    error: JsonRpcErrorObject


class JudgePolicy(BaseModel):
    """
    Having an agent judge answers, after they are given.

    Attributes:
        agent: The agent that judges, of the same workspace. It is told the question, the answer and the rubric, and
            answers with a JSON object: `score` 1-5, `reason`.
        rubric: What a good answer is.
        share: Share of the answers it judges, 0-1.
    """

    agent: str
    rubric: str | None = (
        "It answers the question, is correct as far as can be told, complete, and no longer than needed."
    )
    share: float | None = 1.0


class LastDueView(BaseModel):
    """
    The latest time that a schedule was due: the run of it, or why it gave none, as a code.
    """

    due_at: AwareDatetime
    run_id: str
    error: str | None


class LimitBody(BaseModel):
    """
    The most that may be spent in a period.

    Attributes:
        unit: What is counted: tokens (input and output), usd, model calls, or seconds of wall time.
        period: run and session have a counter for each; day and month are UTC; total never starts again.
        limit: How much: whole tokens and calls, USD to the micro-dollar, seconds to the millisecond.
        soft: Percentages that are told when they are reached, ascending.
    """

    unit: Literal["tokens", "usd", "calls", "seconds"]
    period: Literal["run", "session", "day", "month", "total"]
    limit: float | str
    soft: list[int] | None = [50, 80, 100]


class LimitUseView(BaseModel):
    """
    How much of a limit is used, and whether that is much; above the limit where it was lowered.
    """

    name: str
    limit: int
    used: int
    level: Literal["ok", "warning", "critical"]


class LimitView(BaseModel):
    """
    The most that may be spent in a period.
    """

    unit: Literal["tokens", "usd", "calls", "seconds"]
    period: Literal["run", "session", "day", "month", "total"]
    limit: float
    soft: list[int]


class LimitsView(BaseModel):
    """
    What ends or pauses a session by itself, and how much of its history a model is told; null is no own limit.
    """

    max_turns: int | None = None
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_history_tokens: int | None = None
    max_failures: int | None = None


class LoadForecastView(BaseModel):
    """
    What the coming day brings: the mean of the same hour of up to four weeks before.

    `error` is how wrong the same method was about the last week, as a share of what came; null without two weeks.
    """

    hours: list[ForecastHourView]
    peak: float
    error: float | None
    weeks: int


class MadeView(BaseModel):
    """
    How many versions of an agent were made in the hours shown.
    """

    agent: str
    versions: int


class Mcp(BaseModel):
    """
    Tools of a Model Context Protocol server: `foundry` calls it itself, for every other provider this app does.

    A spec holds no secrets. With `foundry`, a server that needs any is reached through a connection of the project;
    else `headers_setting` names the app setting that has them.

    Attributes:
        server_label: Names the server among the spec's.
        server_url: Where it is; can be given as `url`.
        project_connection_id: The connection of the project that knows how to reach it; only with `foundry`.
        server_description: What the model is told of it; only with `foundry`.
        allowed_tools: The only tools of it to offer; none for all.
        headers_setting: The app setting with the headers to send and the origin to send them to; not with `foundry`.
        approval: When a call needs an approval; None for never. Where it says anything else, `foundry` asks the app
            before each call.
        timeout_s: How long a call may take, in seconds; None for 30. Not with `foundry`.
    """

    type: Literal["mcp"]
    server_label: str
    server_url: str | None = None
    project_connection_id: str | None = None
    server_description: str | None = None
    allowed_tools: list[str] | None = []
    headers_setting: str | None = None
    approval: Literal["never", "always"] | ApprovalWhen | None = None
    timeout_s: float | None = None


class MeanView(BaseModel):
    """
    What answers were scored on average in one part, 0-100.
    """

    part: str
    mean: float
    count: int


class MeasuredView(BaseModel):
    """
    What a change has really saved in the week after it, beside the week before; null where it cannot be said.
    """

    runs_before: int
    runs_after: int
    cost_per_run_before: float | None
    cost_per_run_after: float | None
    saved_micro_usd: int | None
    quality_before: float | None
    quality_after: float | None


class MemberStatusView(BaseModel):
    """
    How a member is doing; `answer_s` is how long conversations have waited for its people's answers on average.
    """

    name: str
    agent: str | None
    people: list[str]
    role: str
    specialization: str
    present: bool
    workload: int
    max_workload: int
    waiting: int
    longest_wait_s: float | None
    replies: int
    answer_s: float | None


class Model(BaseModel):
    """
    What can be asked, as a model.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str | None = "agent"


class ModelList(BaseModel):
    """
    All that can be asked.
    """

    object: Literal["list"] = "list"
    data: list[Model]


class ModelPriceBody(BaseModel):
    """
    A price, in USD per million tokens; what is not given of the cache costs as input does.
    """

    input: float | str
    output: float | str
    cached_input: float | str | None = None
    cache_write: float | str | None = None


class MoverView(BaseModel):
    """
    An agent whose cost changed (micro-USD).
    """

    name: str
    before: int
    now: int
    change: int


class OfferedToolView(BaseModel):
    """
    A tool of an MCP server; its schema is JSON text, empty where the server's offer is too large to keep.
    """

    name: str
    description: str
    parameters_json: str


class OptimizationBody(BaseModel):
    """
    What to look for.

    Attributes:
        agent: The agent to look at; all unless given.
        pool: The pool whose agents to look at; not with `agent`.
        days: How many days of facts to go by, today among them.
        target_cost_reduction: By how many percent spending is to fall; as far as it goes unless given.
        preserve_performance: Whether to leave out what may lower scores, or cut answers.
        aggressive: Whether to propose what rests on less, or risks more.
    """

    agent: str | None = None
    pool: str | None = None
    days: int | None = 14
    target_cost_reduction: float | None = None
    preserve_performance: bool | None = True
    aggressive: bool | None = False


class OriginView(BaseModel):
    """
    Where a value comes from: what said it, its name, and its version (0 for what the app brings).
    """

    kind: str
    name: str
    version: int


class OtherTermsBody(BaseModel):
    """
    Under which other terms to look at history.

    Attributes:
        kind: `prices` prices recorded calls otherwise, `budget` asks what a limit would have stopped, `ttl` retires
            idle agents after another time, `cache` holds another number of live agents, `pool` has runs wait for other
            limits.
        agent: The agent to look at; all unless given.
        days: How many days to look at, today among them.
        model: Of `prices`: the model that all calls are taken to be of; their own unless given.
        prices: Of `prices`: what models cost, by name, instead of what the workspace pays.
        unit: Of `budget`: what is counted.
        period: Of `budget`: when the counter starts again.
        limit: Of `budget`: the most of a period; USD, or whole tokens, calls or runs.
        idle_after_s: Of `ttl`: after how many seconds without use an agent is retired.
        capacity: Of `cache`: how many live agents each worker holds.
        workers: Of `cache`: how many workers.
        concurrency: Of `pool`: how many runs are carried out at once.
        tokens_per_minute: Of `pool`: how many tokens those take that begin within a minute.
        requests_per_minute: Of `pool`: how many model calls they make.
    """

    kind: Literal["prices", "budget", "ttl", "cache", "pool"]
    agent: str | None = None
    days: int | None = 7
    model: str | None = None
    prices: dict[str, ModelPriceBody] | None = None
    unit: Literal["usd", "tokens", "calls", "runs"] | None = "usd"
    period: Literal["day", "month", "total"] | None = "day"
    limit: float | str | None = None
    idle_after_s: int | None = None
    capacity: int | None = None
    workers: int | None = None
    concurrency: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class OutputCall(BaseModel):
    """
    A call of a tool of the caller's that the model asks for.
    """

    id: str
    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    status: str


class OutputText(BaseModel):
    """
    A text of an answer.
    """

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] | None = []


class OutputTokensDetails(BaseModel):
    """
    Of the output tokens, those spent on reasoning.
    """

    reasoning_tokens: int


class Parameters(BaseModel):
    """
    What a trigger's condition goes by.

    Attributes:
        keywords: `keyword_detected`: one of these stands in the query, whole words, whatever their case.
        capability: `capability_requested`: the run's metadata asks for it (`capability`), or the query names it.
        below: `quality_below`: the answer's score, 0-100, is below this; `sentiment_below`: how the query sounds
            (`llmops.evaluation.sentiment`, 0-100, 50 is neutral).
        check: `quality_below`: the check whose score counts; None for the overall one.
        count: `failures`: so many attempts of the run failed; `turns_above`: the member has seen so many runs.
        usd: `cost_above`: the run has cost more than this, in US dollars.
    """

    keywords: list[str] | None = []
    capability: str | None = None
    below: float | None = None
    check: str | None = None
    count: int | None = None
    usd: float | None = None


class PeriodView(BaseModel):
    """
    A day, an ISO week or a month: its name, and its first and last UTC day.
    """

    key: str
    kind: Literal["day", "week", "month"]
    first: date
    last: date


class PersonBody(BaseModel):
    """
    Who works at the inbox; only where sign-in does not say so, as with a function key.
    """

    by: str | None = None


class Personality(BaseModel):
    """
    How an agent speaks, whatever it speaks of.

    Attributes:
        description: What it is for, shown in lists.
        formality: 0 casual - 100 formal. This and the other traits: None, or about 50, says nothing.
        verbosity: 0 terse - 100 thorough.
        helpfulness: 0 answers only what is asked - 100 anticipates what is needed next.
        creativity: 0 sticks to the established - 100 looks for the unusual.
        empathy: 0 keeps to the matter - 100 attends to how the user feels.
        modifiers: Sentences of your own about how it speaks.
        response_templates: The wording to use, by situation.
        prohibited: What it must never do, to be read after "Never".
    """

    description: str | None = ""
    formality: int | None = None
    verbosity: int | None = None
    helpfulness: int | None = None
    creativity: int | None = None
    empathy: int | None = None
    modifiers: list[str] | None = []
    response_templates: dict[str, str] | None = {}
    prohibited: list[str] | None = []


class PersonalityView(BaseModel):
    """
    A personality; `builtin` ones are the app's.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Personality | None


class PinView(BaseModel):
    """
    The declaration of its agent that a session is pinned to, and the fingerprint of the version made from it.
    """

    revision: int
    fingerprint: str


class Place(BaseModel):
    """
    Roughly where the user is: ISO 3166 country, the names of region and city, an IANA time zone.
    """

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class PlanApplication(BaseModel):
    """
    Which plan to apply.

    `lines` are the numbers of the lines to apply, all when it is left out; `destructive` asks for those that delete
    something, too.
    """

    plan_id: str
    lines: list[int] | None = None
    destructive: bool | None = False


class PointView(BaseModel):
    """
    What an agent did in the hour or day that begins with `start`.
    """

    start: AwareDatetime
    runs: int
    error_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    quality: float | None
    cost_micro_usd: int


class PolicyRule(BaseModel):
    """
    Tool calls of a workspace's agents that need an approval.

    Attributes:
        agents: Names of agents; `*` and `?` stand for any characters, and any one.
    """

    tools: list[str]
    when: str | None = None
    approvers: list[list[str]] | None = []
    expires_s: int | None = 86400
    on_expiry: Literal["reject", "escalate", "keep"] | None = "reject"
    not_requester: bool | None = False
    agents: list[str] | None = ["*"]


class PoolLimitsBody(BaseModel):
    """
    What a pool allows; null for any number. At least one is given.

    Attributes:
        concurrent_runs: Runs carried out at the same time.
        open_sessions: Sessions that are open.
        tokens_per_minute: Input and output tokens of the calls that begin within any 60 seconds.
        requests_per_minute: Model calls that begin within any 60 seconds.
    """

    concurrent_runs: int | None = None
    open_sessions: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class PoolLimitsView(BaseModel):
    """
    What a pool allows; null for any number.
    """

    concurrent_runs: int | None
    open_sessions: int | None
    tokens_per_minute: int | None
    requests_per_minute: int | None


class PoolUsageView(BaseModel):
    """
    How much of a pool is used: what workers hold, and used within the last minute.
    """

    level: Literal["ok", "warning", "critical"]
    limits: list[LimitUseView]
    by_agent: list[AgentUseView]
    workers: int
    waiting: int
    longest_wait_s: float


class Preferences(BaseModel):
    """
    What a user prefers; what is left out is the agent's to choose.

    Attributes:
        language: The language of answers, as a BCP 47 tag like `de` or `pt-BR`.
        verbosity: How much to say.
        formality: How to address the user.
        format: What answers look like.
        expertise: What the user can be expected to know.
        units: Which units to give measures in.
        time_zone: The user's IANA time zone, like `Europe/Zurich`.
        note: Anything else, in the user's own words; at most MAX_NOTE characters.
    """

    language: str | None = None
    verbosity: Literal["brief", "normal", "detailed"] | None = None
    formality: Literal["casual", "neutral", "formal"] | None = None
    format: Literal["prose", "bullets", "table", "plain_text"] | None = None
    expertise: Literal["beginner", "practitioner", "expert"] | None = None
    units: Literal["metric", "imperial"] | None = None
    time_zone: str | None = None
    note: str | None = None


class PreferencesView(BaseModel):
    """
    What a user usually prefers.
    """

    user_id: str
    version: int
    preferences: Preferences


class PreloadBody(BaseModel):
    """
    What to preload.

    Attributes:
        agents: These agents, at most 100; null for those that are worth it.
    """

    agents: list[str] | None = None


class PreloadView(BaseModel):
    """
    The agents that were to be opened, and those of them that this worker holds now.
    """

    asked: list[str]
    held: list[str]


class PreloadingView(BaseModel):
    """
    Agents opened before anybody asked for them, and what became of them.
    """

    preload_successes: int
    preload_failures: int
    used: int
    wasted: int
    candidates_for_preload: int


class PriceBody(BaseModel):
    """
    A rate of your own. Of a model: USD per million tokens. Of a tool (`tool:web_search`): USD per thousand calls.

    Attributes:
        input: USD per million input tokens.
        output: USD per million output tokens.
        cached_input: USD per million input tokens read from the provider's cache; the rate of input unless given.
        cache_write: USD per million input tokens written to the provider's cache; the rate of input unless given.
        per_1000_calls: USD per thousand calls of a tool.
    """

    input: float | str | None = None
    output: float | str | None = None
    cached_input: float | str | None = None
    cache_write: float | str | None = None
    per_1000_calls: float | str | None = None


class PriceView(BaseModel):
    """
    A rate of your own, in USD: per million tokens, or per thousand calls of a tool.
    """

    name: str
    input: float | None
    output: float | None
    cached_input: float | None
    cache_write: float | None
    per_1000_calls: float | None


class ProblemView(BaseModel):
    """
    An error (RFC 9457); `code` is stable, `errors` says which fields are wrong.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, Any]] | None = []


class PromptTokensDetails(BaseModel):
    """
    Of the input tokens, those that the provider's cache had.
    """

    cached_tokens: int
    cache_write_tokens: int | None = 0


class ProposedChangeView(BaseModel):
    """
    What a proposal changes.

    Attributes:
        fields: The fields of the agent that get other values.
        call: The call that makes the change; null where people have to.
        undo: The call that undoes it; null where people have to.
        advice: What people are to do; null where a call does.
        diff: What is to be changed in a file or in the app's settings, as a unified diff; null where a call does.
    """

    fields: dict[str, Any]
    call: ApiCallView | None
    undo: ApiCallView | None
    advice: str | None
    diff: str | None


class ProviderHealthView(BaseModel):
    """
    How the provider's side of an agent was last found.

    `verified_at` is when its version was last seen as it was made; `status` is `ok`, `throttled`, `unavailable` or
    `failing`, and `trouble` the code of the provider's last failure, which lasts since `trouble_since`.
    """

    status: str
    looked_at: AwareDatetime
    verified_at: AwareDatetime | None
    trouble: str
    trouble_since: AwareDatetime | None


class ProviderVersionView(BaseModel):
    """
    An agent's version at its provider.
    """

    name: str
    version: str
    id: str
    created_at: AwareDatetime


class QuantilesView(BaseModel):
    """
    The mean, and what half, 95 % and 99 % of the values are up to, in ms, each exact to 2 %; null without values.
    """

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class RangeView(BaseModel):
    """
    The most and the mean of an hour's samples, one a minute.
    """

    most: float
    mean: float
    samples: int


class ReceiptView(BaseModel):
    """
    What was erased of a session, what is kept and why; `completed_at` is null while a worker is being stopped.

    Of one whose own row could not be read (`unreadable`), a provider may keep a conversation that nothing names now.
    """

    session_id: str
    requested_at: AwareDatetime
    completed_at: AwareDatetime | None
    runs: int
    messages: int
    events: int
    conversations: int
    ledger_lines: int
    unreadable: bool
    kept: dict[str, str] | None = {
        "facts": "What attempts spent, took and came to, for the accounts; with run and session, without user.",
        "scores": "How good the answers were, as numbers by agent and version; no reasons, which could quote.",
        "events": "The workspace's events, until their time is over; no texts, no user.",
        "budgets": "What the user has spent in all, where a budget of the user's counts it; not by session.",
    }


class RedrivenView(BaseModel):
    """
    A run that was put back on the queue, or what asks for a workflow: that has no `agent`.
    """

    run_id: str
    session_id: str
    agent: str | None


class RemainingView(BaseModel):
    """
    What a deployment said is left of its quota, and until when that is believed.
    """

    requests: int | None
    tokens: int | None
    until: AwareDatetime


class ReplayView(BaseModel):
    """
    What caches of a policy would have come to.
    """

    policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]
    hit_rate: float | None
    hits: int
    evictions: int


class ReplayedHistoryView(BaseModel):
    """
    What history would have been.

    Attributes:
        kind: What was asked.
        first: The first UTC day that was looked at.
        last: The last.
        records: How many facts, or uses of agents, were replayed.
        whole: Whether these were all; else the latest of each day.
        figures: What came out, by name (docs/savings.md); money in micro-USD, times in ms, shares 0-1.
        groups: The same by model, agent or policy, where that says more.
        assumptions: What was taken for granted.
    """

    kind: str
    first: date
    last: date
    records: int
    whole: bool
    figures: dict[str, float | None]
    groups: dict[str, dict[str, float | None]]
    assumptions: list[str]


class ReplyBody(BaseModel):
    """
    A person's answer to the run that is named, so that it can be sent again, or to the one that waits longest.
    """

    by: str | None = None
    text: str
    run_id: str | None = None


class ResourceHourView(BaseModel):
    """
    What was used in an hour: of workers their number and the highest shares, of pools the shares by limit.
    """

    start: AwareDatetime
    workers: dict[str, RangeView]
    pools: dict[str, dict[str, RangeView]]


class ResourcesView(BaseModel):
    """
    The agents as they are now, by state, and the versions that are kept for them at providers.
    """

    agents: dict[str, int]
    versions: int


class ResponseError(BaseModel):
    """
    Why a response failed.
    """

    code: str
    message: str


class ResponseFormat(BaseModel):
    """
    What the agent's answers look like.

    Attributes:
        name: Names the format to the model.
        json_schema: A JSON Schema of type `object`; at most 64 KiB, 10 levels and 5,000 properties.
        description: What the format is for; None to say nothing.
        strict: Whether the model must follow the schema to the letter. Then each object of it names all its
            properties in `required` and sets `additionalProperties` to false.
    """

    name: str
    json_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = True


class ResponseUsage(BaseModel):
    """
    Tokens of all model calls that the response took.
    """

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class Resume(BaseModel):
    """
    An answer to an interrupt: `{"decision": "approve" | "reject", "reason"}`, or true or false.
    """

    interruptId: str
    status: Literal["resolved", "cancelled"]
    payload: Any = None


class RetentionReceiptView(BaseModel):
    """
    What one round deleted; `complete` is false where the next one goes on.
    """

    id: str
    at: AwareDatetime
    sessions: int
    runs: int
    messages: int
    transcripts: int
    tool_calls: int
    evaluations: int
    facts: int
    held: int
    complete: bool


class RetirementView(BaseModel):
    """
    What becomes of a retired agent's versions: switched off and archived, and deleted by prune after a time.
    """

    put_away: bool
    delete_after: AwareDatetime | None
    versions: int


class ReturnBody(BaseModel):
    """
    A conversation that a person gives back: to a member, else to the agent that had it; and what it is told.
    """

    by: str | None = None
    target: str | None = None
    reason: str | None = "the person has given it back"
    facts: list[str] | None = []
    open_questions: list[str] | None = []


class RollBack(BaseModel):
    """
    The version to go back (or forward) to, or the revision of the declaration; one of the two.
    """

    version: str | None = None
    revision: int | None = None


class RouteView(BaseModel):
    """
    A route.
    """

    name: str
    deployments: list[DeploymentView]


class RunCountsView(BaseModel):
    """
    Runs that run now, as each worker last said, and those that wait, whatever for.

    Of those that wait, `held` are kept by their session: it is paused, or another run of it waits. How long the first
    has waited is said of those that wait for a budget, or for an approval to go beyond a share of one.
    """

    running: int
    waiting: int
    held: int
    longest_wait_s: float


class RunError(BaseModel):
    """
    Why a run (or its last attempt) failed: a stable code and a sentence that carries no prompt or secret.
    """

    code: str
    detail: str


class Runaway(BaseModel):
    """
    When a run of the agent has run away and is failed, instead of the app's settings.

    Attributes:
        same_tool_calls: Calls of one tool with the same arguments in one attempt; the next one is not made. 0 for any.
        usd_per_minute: What a run may spend within a minute, in USD. 0 for anything.
    """

    same_tool_calls: int | None = None
    usd_per_minute: float | None = None


class SavingView(BaseModel):
    """
    What is thought to be saved in 30 days, in micro-USD, with its range.
    """

    low: int
    likely: int
    high: int


class ScalingApplyBody(BaseModel):
    """
    Which recommendation to apply.

    Attributes:
        id: Its id, as GET scaling/recommendation said it.
    """

    id: str


class Score(BaseModel):
    """
    How good an answer looks.

    Attributes:
        overall: 0-100, the weighted mean of the parts.
        parts: Each check's result, 0-100; a check that does not apply is left out.
        reasons: Why, of the checks that say so, also of those that could not be made.
        pending: Judges that are still to be heard of the answer.
    """

    overall: int
    parts: dict[str, int]
    reasons: dict[str, str] | None = None
    pending: list[str] | None = []


class SectionView(BaseModel):
    """
    A part of the instructions, and what it was made from.
    """

    text: str
    origins: list[OriginView]


class ServedView(BaseModel):
    """
    Which team serves a session, who of it has it (empty while it waits for room) and why, and who had it.
    """

    team: str
    member: str
    reason: str
    since: AwareDatetime
    trail: list[str]
    hops: int
    desk: DeskView | None


class SessionCountsView(BaseModel):
    """
    Sessions that are open now; those started in the days asked for, and those ended, by reason.
    """

    open: int
    started: int
    ended: int
    ended_by_reason: dict[str, int]


class ShareBody(BaseModel):
    """
    An agent's part of each limit, 0-1.

    Attributes:
        min: Reserved for it: it comes first for so much.
        max: It never has more.
    """

    min: float | None = 0.0
    max: float | None = 1.0


class ShareView(BaseModel):
    """
    An agent's part of each limit, 0-1.
    """

    min: float
    max: float


class Simulation(BaseModel):
    """
    What the `offline` provider should do besides answering, to show slow, failing and tool-calling agents.

    Attributes:
        latency_ms: How long each model call takes, in milliseconds.
        stream_chunk_ms: Pause before each piece of a streamed answer, in milliseconds.
        fail_first: How many attempts of each run fail before one succeeds; counted by the run's attempt number.
        fail_with: How they fail: `throttled` and `unavailable` are retriable, `rejected` and `content_filter` are not.
        fail_creates: How many attempts to create the agent fail with `unavailable` before one succeeds.
        call_tool: Name of a tool in `tools`, of one that hands over (`handoff_to_…`), or of one that a caller brings,
            that the model calls once before it answers; None for none.
        reply: The text of the answer instead of the provider's own; None for the provider's own.
    """

    latency_ms: int | None = 0
    stream_chunk_ms: int | None = 0
    fail_first: int | None = 0
    fail_with: (
        Literal["throttled", "unavailable", "rejected", "content_filter"] | None
    ) = "unavailable"
    fail_creates: int | None = 0
    call_tool: str | None = None
    reply: str | None = None


class SiteScaleView(BaseModel):
    """
    How an app is scaled: instances that are always ready by group, the most of all, and HTTP requests for each.
    """

    always_ready: dict[str, int]
    maximum_instances: int
    http_concurrency: int | None
    memory_mb: int


class SlaPolicy(BaseModel):
    """
    What an agent is to keep; what is left out is the app's setting.

    Attributes:
        latency_ms: Time in which 95 % of the answers are to be there, from the run's acceptance, in milliseconds.
        availability: Share of the runs that are to be answered, 0-1.
    """

    latency_ms: int | None = None
    availability: float | None = None


class SlaView(BaseModel):
    """
    What an agent is to keep, and whether it did; null where there were no runs.

    It is kept when `availability` of the runs were answered, and 95 % of the answers came within `latency_ms`.
    """

    target_latency_ms: int
    target_availability: float
    availability: float | None
    in_time: float | None
    kept: bool | None


class SourceView(BaseModel):
    """
    An item that an agent is composed of, and its version.
    """

    kind: str
    name: str
    version: int


class SpendView(BaseModel):
    """
    Model calls, their tokens and cost: the sum of the priced calls, exact to the micro-dollar.

    Counted at an estimate are `unsettled_calls`, because worker or connection died before their usage was known, and
    `unmetered_calls`, because the provider answered without a usage that can be booked.
    """

    calls: int
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_micro_usd: int
    unpriced_calls: int
    unsettled_calls: int
    unmetered_calls: int


class StandingView(BaseModel):
    """
    A call that needs nobody's decision while the agent has this version; an empty hash stands for any arguments.
    """

    id: str
    agent: str
    version: str
    tool: str
    arguments_hash: str
    by: str
    approval_id: str
    at: AwareDatetime


class Step(BaseModel):
    """
    A step that asks an agent.

    Attributes:
        name: Its name in the workflow.
        when: A condition in CEL over `input` and `steps`, without which the step is skipped; None for always.
        on_failure: Whether the workflow then fails, or goes on without its answer.
    """

    agent: str
    prompt: str | None = "{input}"
    timeout_s: int | None = None
    retries: int | None = 0
    fallback: str | None = None
    name: str
    when: str | None = None
    on_failure: Literal["fail", "continue"] | None = "fail"


class StrategyView(BaseModel):
    """
    What workers of a strategy came to in the last day.

    The true hit rate lies between `least` and `most` with 95 % confidence: two strategies whose ranges overlap are not
    told apart yet.
    """

    strategy: str
    hits: int
    misses: int
    hit_rate: float
    least: float
    most: float


class StreamOptions(BaseModel):
    """
    What a stream has besides the answer; of Chat Completions, a chunk with the usage at its end.
    """

    include_usage: bool | None = False


class StreamView(BaseModel):
    """
    How a channel is sent the workspace's events: when last, and where that fails, why and when it is tried again.
    """

    sent_at: AwareDatetime | None
    failures: int
    error: str | None
    next_at: AwareDatetime | None


class SummaryView(BaseModel):
    """
    A period and what was spent in it; `complete` once it is over.
    """

    period: PeriodView
    complete: bool
    total: SpendView


class Task(BaseModel):
    """
    An agent that is asked, and what happens if it does not answer.

    Attributes:
        agent: The agent.
        prompt: What it is asked: text with `{input}` and `{steps.NAME.answer}` of steps before it.
        timeout_s: Seconds that an answer may take, the wait for a worker included; None for as long as a run may take.
        retries: How often it is asked again, after a run that failed for good or took too long.
        fallback: The agent that is asked once after all that; None for none.
    """

    agent: str
    prompt: str | None = "{input}"
    timeout_s: int | None = None
    retries: int | None = 0
    fallback: str | None = None


class TeamRouteView(BaseModel):
    """
    How often conversations went from a member to another, and how many came straight back.
    """

    source: str
    target: str
    handoffs: int
    returned: int


class TeamRunView(BaseModel):
    """
    A run as its team sees it: why its first member was asked, the members it went on to, and who answered.

    `by` is the person who answered, empty for an agent.
    """

    team: str
    reason: str
    hops: list[HopView]
    by: str


class TeamStatusView(BaseModel):
    """
    How a team is doing; handoffs and answers are those since `since`, UTC days included.
    """

    team: str
    since: AwareDatetime
    members: list[MemberStatusView]
    conversations: int
    waiting_for_room: int
    handoffs: int
    by: dict[str, int]
    escalations: int
    routes: list[TeamRouteView]
    insights: list[str]


class ThresholdsBody(BaseModel):
    """
    From which used share on a pool is in a warning state; half way from there to all of it, in a critical one.

    Attributes:
        memory: Of workers, which work for all pools: the lowest of any pool counts.
        cpu: Of workers, as well.
        sessions: Of concurrent runs and open sessions.
        tokens: Of tokens and requests a minute.
    """

    memory: float | None = 0.9
    cpu: float | None = 0.85
    sessions: float | None = 0.95
    tokens: float | None = 0.9


class ThresholdsView(BaseModel):
    """
    From which used share on a pool is in a warning state.
    """

    memory: float
    cpu: float
    sessions: float
    tokens: float


class TimerRunView(BaseModel):
    """
    What a timer did.

    Attributes:
        name: The timer's name.
        done: What it did, as a sentence for people.
    """

    name: str
    done: str


class TimerView(BaseModel):
    """
    What the app does by itself.

    Attributes:
        name: Its name.
        setting: The setting that says when it runs.
        schedule: What it says: an NCRONTAB expression, in UTC.
        succeeded_at: When its last run that succeeded began; null for never.
        failed_at: When its last run that failed began; null for never.
        failure: Why that failed, as a stable code or the kind of exception; empty for never.
        overdue: Whether it should have succeeded again by now.
    """

    name: str
    setting: str
    schedule: str
    succeeded_at: AwareDatetime | None
    failed_at: AwareDatetime | None
    failure: str
    overdue: bool


class Tool(BaseModel):
    """
    A tool of the front end's; `parameters` is JSON Schema.
    """

    name: str
    description: str | None = ""
    parameters: dict[str, Any] | None = None


class ToolCall(BaseModel):
    """
    A call of a tool of the front end's, as an earlier answer has it.
    """

    id: str
    function: CalledFunction


class ToolCallView(BaseModel):
    """
    A call of a caller's own tool that the model asks for; `arguments` is JSON, as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class ToolResult(BaseModel):
    """
    What came of a call: the call's id, and what the model is told.
    """

    call_id: str
    output: str


class TriggerBody(BaseModel):
    """
    When there is to be an instance more or less than the forecast says.

    Attributes:
        metric: What is measured; pool_waiting is the number of what waits for room in pools.
        condition: How it is compared.
        threshold: With what.
        duration_s: For how long that must hold, looked at once a minute.
        action: What follows.
        priority: Of several that hold, the highest counts.
    """

    metric: Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float | None = 60
    action: Literal["scale_up", "scale_down"] | None = "scale_up"
    priority: int | None = 1


class TriggerView(BaseModel):
    """
    When there is to be an instance more or less than the forecast says.
    """

    metric: Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float
    action: Literal["scale_up", "scale_down"]
    priority: int


class TryView(BaseModel):
    """
    One run of a step. `run_state` is the run's own state now; null in lists, and once it is erased.
    """

    agent: str
    run_id: str
    state: Literal[
        "pending", "running", "succeeded", "failed", "skipped", "cancelled"
    ] = Field(..., description="Where a step is.")
    run_state: (
        Literal["queued", "running", "waiting", "succeeded", "failed", "cancelled"]
        | None
    )
    code: str
    cost_micro_usd: int
    score: int | None
    started_at: AwareDatetime
    ended_at: AwareDatetime | None


class TurnView(BaseModel):
    """
    One message of a conversation; `author` is the person who wrote an answer, empty for agents and users.

    `tool_calls` are those of the caller's own tools that an assistant asked for; the text of a message of role `tool`
    is what came of them, as JSON.
    """

    role: str
    text: str
    run_id: str
    at: AwareDatetime
    author: str
    tool_calls: list[ToolCallView]


class UsageView(BaseModel):
    """
    How much of a limit is used; `resets_at` is null where that is never.
    """

    scope: str
    unit: Literal["tokens", "usd", "calls", "seconds"]
    period: Literal["run", "session", "day", "month", "total"]
    limit: float
    used: float
    reserved: float
    remaining: float
    resets_at: AwareDatetime | None


class UsedView(BaseModel):
    """
    Calls, their tokens, and how many of the calls failed or were refused.
    """

    requests: int
    tokens: int
    failures: int


class UserReceiptView(BaseModel):
    """
    What this call erased of a user; `completed_at` is null while the rest goes on in the background.
    """

    user_id: str
    requested_at: AwareDatetime
    completed_at: AwareDatetime | None
    sessions: int
    runs: int


class ValueView(BaseModel):
    """
    A value by JSON pointer, and where it comes from.
    """

    pointer: str
    value: Any
    origin: OriginView


class VerdictView(BaseModel):
    """
    What prune makes of one candidate; `retire` says whether the agent as a whole goes, now or after its grace.
    """

    agent: str
    action: Literal["keep", "retire", "delete", "trim"] = Field(
        ..., description="What prune does with a candidate."
    )
    retire: bool
    reason: str
    idle_since: AwareDatetime | None
    versions: list[ProviderVersionView]


class VersionPage(BaseModel):
    """
    An agent's versions, newest first.
    """

    items: list[AgentVersionView]
    next: str | None


class WebSearch(BaseModel):
    """
    Searches the web.

    Attributes:
        search_context_size: How much of what is found the model gets to read; the provider's default is `medium`.
        allowed_domains: The only sites to search, like `learn.microsoft.com`; none for all.
        user_location: Where to search from; None for nowhere in particular.
    """

    type: Literal["web_search"]
    search_context_size: Literal["low", "medium", "high"] | None = None
    allowed_domains: list[str] | None = []
    user_location: Place | None = None


class WhatIfView(BaseModel):
    """
    What caches would have hit of the recorded accesses; null rates without any.

    `clairvoyant_hit_rate` is the most that any policy could have hit, `static_hit_rate` that of the agents used most,
    held from the beginning. `suggested_capacity` is the smallest size that hits as often as `most`, within one point.
    These three are for one worker.
    """

    accesses: int
    capacity: int
    workers: int
    replays: list[ReplayView]
    clairvoyant_hit_rate: float | None
    static_hit_rate: float | None
    suggested_capacity: int


class WorkerUseView(BaseModel):
    """
    What a worker that has worked lately used: a random id, and when it stored that.
    """

    worker: str
    at: AwareDatetime
    memory_mb: float
    memory_share: float | None
    cpu_share: float
    level: Literal["ok", "warning", "critical"]


class WorkflowRequest(BaseModel):
    """
    What a caller asks of a workflow.

    Attributes:
        input: The text that the prompts of its steps take in; not blank.
        user_id: Who asks; None for nobody in particular.
        metadata: At most 16 strings that come back with it, and with the runs of its steps.
        priority: Which queue the runs of its steps travel on.
    """

    input: str
    user_id: str | None = None
    metadata: dict[str, str] | None = {}
    priority: Literal["normal", "high", "low"] | None = "normal"


class TriggersHttpAgentsViewsStepView(BaseModel):
    """
    A step of an agent's life: what, when, of which version, asked for by whom (empty for the app), and why.
    """

    at: AwareDatetime
    step: Literal[
        "declared",
        "rolled_back",
        "enabled",
        "disabled",
        "deleted",
        "created",
        "adopted",
        "superseded",
        "restored",
        "kept",
        "gone",
        "retired",
        "provider_disabled",
        "archived",
        "version_deleted",
        "create_failed",
        "delete_failed",
        "verify_failed",
    ] = Field(..., description="What can happen to an agent.")
    version: str
    by: str
    why: str


class TriggersHttpLoaderViewsStepView(BaseModel):
    """
    An agent that goes or is opened, why, and its score, 0-1.
    """

    action: Literal["evict", "preload"]
    agent: str
    reason: Literal[
        "unused_for_a_day",
        "low_priority",
        "high_priority",
        "requested",
        "used_together",
    ]
    score: float


class TriggersHttpOpenaiViewsPart(BaseModel):
    """
    A part of a message's content.
    """

    type: str
    text: str | None = None
    refusal: str | None = None


class TriggersHttpRunsViewsStepView(BaseModel):
    """
    A step of a run: a model call, a tool call, or a wait; `ms` is null while it is not over.

    Arguments are `[hidden]` unless the tool shows them, its result is null unless it shows it; both are null where they
    are gone.
    """

    kind: Literal["model_call", "tool_call", "wait"] = Field(
        ..., description="What a step is."
    )
    attempt: int
    at: AwareDatetime | None
    ms: int | None
    name: str
    outcome: str
    call_id: str | None
    arguments: dict[str, Any] | None
    result_bytes: int | None
    result: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost_micro_usd: int | None
    deployment: str | None


class TriggersHttpWorkflowsViewsStepView(BaseModel):
    """
    A step; agent and run are its last one's, costs those of all its runs.
    """

    name: str
    state: Literal[
        "pending", "running", "succeeded", "failed", "skipped", "cancelled"
    ] = Field(..., description="Where a step is.")
    code: str
    agent: str | None
    run_id: str | None
    cost_micro_usd: int
    score: int | None
    started_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    tries: list[TryView]


class ActivityView(BaseModel):
    """
    How an agent is used. `recent_uses` counts a use three days ago half; `active`: this worker holds it.
    """

    agent: str
    active: bool
    last_used: AwareDatetime
    usage_count: int
    recent_uses: float
    success_rate: float | None
    average_response_time_ms: float | None
    total_cost_micro_usd: int
    priority_score: float
    companions: list[CompanionView]


class AlertPage(BaseModel):
    """
    Alert rules by name.
    """

    items: list[AlertView]
    next: str | None


class AnswerMessage(BaseModel):
    """
    The answer; `tool_calls` is null where there are none.
    """

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None
    tool_calls: list[ChatToolCallView] | None = None


class AppliedView(BaseModel):
    """
    That a proposal was applied, and what came of it; `measured` is null until `measured_from`.
    """

    at: AwareDatetime
    revision: int
    measured_from: AwareDatetime
    measured: MeasuredView | None


class ApprovalView(BaseModel):
    """
    Something that waits for a person's decision, or did.

    `arguments` are those to call the tool with, `asked_arguments` those that the model asked for where they were
    amended; both are null once the session is erased. `approvers` may decide now; none are named for anybody in the
    workspace. `may_decide` says whether the caller may.
    """

    id: str
    state: Literal["pending", "approved", "rejected", "expired", "withdrawn"] = Field(
        ..., description="Where an approval is."
    )
    kind: str
    agent: str
    version: str
    tool: str
    call_id: str
    arguments: dict[str, Any] | None
    asked_arguments: dict[str, Any] | None
    arguments_hash: str
    why: str
    session_id: str
    run_id: str
    user_id: str | None
    excerpt: str
    cost_micro_usd: int
    approvers: list[str]
    may_decide: bool
    level: int
    not_requester: bool
    on_expiry: str
    requested_at: AwareDatetime
    expires_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    decision: DecisionView | None
    execution: ExecutionView | None


class BatchPage(BaseModel):
    """
    Batches, newest first.
    """

    items: list[BatchView]
    next: str | None


class BlockedRunPage(BaseModel):
    """
    Runs that wait for a budget, those asked first at the top.
    """

    items: list[BlockedRunView]
    next: str | None


class BudgetBody(BaseModel):
    """
    A budget, as it is declared: one limit for each unit and period.
    """

    limits: list[LimitBody]


class BudgetView(BaseModel):
    """
    A budget.
    """

    scope: str
    limits: list[LimitView]


class CallbackView(BaseModel):
    """
    What became of the latest report of a run's end: `retrying`, `delivered` or `failed` (given up).

    `id` is what the receiver knows it by: `webhook-id`, or the message's MessageId. `target` is a host or a queue.
    """

    id: str
    run_id: str
    agent: str
    target: str
    state: Literal["retrying", "delivered", "failed"] = Field(
        ..., description="How a delivery stands."
    )
    attempts: int
    status: int | None
    error: str | None
    last_at: AwareDatetime | None
    next_at: AwareDatetime | None


class Capability(BaseModel):
    """
    Something an agent can be switched to be able to do.

    Attributes:
        description: What it is for, shown in lists.
        instructions: What the agent is told about it; at most 10,000 characters.
        tools: What it may call for it, in addition to its own tools.
    """

    description: str | None = ""
    instructions: str | None = ""
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = Field(
        [], validate_default=True
    )


class CapabilityView(BaseModel):
    """
    A capability; `builtin` ones are the app's.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Capability | None


class ChannelView(BaseModel):
    """
    Where notifications go: a URL, a queue, or addresses; and whether its webhooks are signed.

    `stream` is there for a single channel of format cloudevents.
    """

    name: str
    url: str
    queue: str
    to: list[str]
    format: str
    events: list[str]
    signed: bool
    stream: StreamView | None
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ChatMessage(BaseModel):
    """
    A message of a conversation.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TriggersHttpOpenaiViewsPart] | None = None
    tool_calls: list[ChatToolCall] | None = Field([], validate_default=True)
    tool_call_id: str | None = None


class Choice(BaseModel):
    """
    The one answer there is.
    """

    index: int | None = 0
    message: AnswerMessage
    logprobs: None = Field(None)
    finish_reason: str


class ClientTools(BaseModel):
    """
    The caller's tools, as a run comes with them.

    Attributes:
        tools: Those that the model may ask for, beside the agent's own.
        choice: `auto`; `none` for none of them; `required` for some tool; or the name of the one it has to call.
        results: What came of the calls that the session's run before ended with: of all of them.
    """

    tools: list[ClientTool] | None = Field([], validate_default=True)
    choice: str | None = "auto"
    results: list[ToolResult] | None = Field([], validate_default=True)


class CompletionUsage(BaseModel):
    """
    Tokens of all model calls that the answer took.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class ComponentView(BaseModel):
    """
    A part of the system; `reason` is empty when it is healthy.
    """

    name: str
    health: Literal["healthy", "degraded", "critical"] = Field(
        ..., description="How well something is."
    )
    reason: str


class CostPartView(BaseModel):
    """
    What one part of a group spent.
    """

    name: str
    spend: SpendView


class DayMeansView(BaseModel):
    """
    What a version's answers of a UTC day were scored, `overall` first.
    """

    day: date
    parts: list[MeanView]


class DeadLetterPage(BaseModel):
    """
    Failed runs in the order they were accepted, then messages in the order they came.
    """

    items: list[DeadLetterView]
    next: str | None


class DeliveryPage(BaseModel):
    """
    Deliveries, newest notification first.
    """

    items: list[DeliveryView]
    next: str | None


class DependentPage(BaseModel):
    """
    Who is composed of an item.
    """

    items: list[DependentView]
    next: str | None


class DeploymentBody(BaseModel):
    """
    A place where a route's calls can go.

    Attributes:
        name: Names it in its route.
        provider: `openai` for every endpoint that speaks Chat Completions, `azure_openai` for an Azure OpenAI resource,
            `offline` for the model that is none.
        model: The model or deployment as it is called there.
        endpoint: Its base URL up to and with the version, or the Azure resource's; left out for the app's own.
        api_version: Of an Azure resource; left out for its `v1` API.
        key_setting: The app setting that holds the key, as `{"origin": "https://…", "key": "…"}`.
        identity: Whether to sign in to an Azure host as the app, with Entra ID.
        priority: 1 is asked first; a higher number when no lower one can take the call.
        weight: Its share of the sessions among those of its priority.
        tpm: Tokens a minute that it takes.
        rpm: Requests a minute that it takes.
        price: What it costs, where that is not the model's own or public price.
    """

    name: str
    provider: Literal["openai", "azure_openai", "offline"] | None = "openai"
    model: str
    endpoint: str | None = None
    api_version: str | None = None
    key_setting: str | None = None
    identity: bool | None = False
    priority: int | None = 1
    weight: int | None = 1
    tpm: int | None = None
    rpm: int | None = None
    price: DeploymentPriceBody | None = None


class DeploymentStatusView(BaseModel):
    """
    A deployment, and how it is doing, as far as workers have told each other.

    Attributes:
        available: Whether it takes calls now.
        breaker: `closed` lets calls through, `open` none, `half_open` one at a time.
        failures: Failures in a row while the breaker is closed.
        last_failure: The code of the last one; null where it is forgotten after a success.
        open_until: From when on one call is let through; null while the breaker is closed.
        throttled_until: Until when it said that it takes no calls; null where it did not.
        minute: What all workers gave to it in the current minute.
        recent: What they gave to it in the last five minutes.
        share: Its share of the route's calls in these, 0-1; null without any.
        remaining: What it said is left of its quota; null where there is enough.
    """

    name: str
    provider: Literal["openai", "azure_openai", "offline"]
    model: str
    endpoint: str | None
    api_version: str | None
    key_setting: str | None
    identity: bool
    priority: int
    weight: int
    tpm: int | None
    rpm: int | None
    price: DeploymentPriceView | None
    available: bool
    breaker: Literal["closed", "open", "half_open"]
    failures: int
    last_failure: str | None
    open_until: AwareDatetime | None
    throttled_until: AwareDatetime | None
    minute: UsedView
    recent: UsedView
    share: float | None
    remaining: RemainingView | None


class ErrorBody(BaseModel):
    """
    An error in OpenAI's shape.
    """

    error: ErrorObject


class EvaluationPolicy(BaseModel):
    """
    What a good answer of an agent is. What is not said is not checked.

    Attributes:
        share: Share of the answers that are scored, 0-1; None for the app's setting.
        topics: What every answer should speak of, besides a run's own `expected_topics`.
        citations: How many different sources an answer should cite.
        structure: What an answer should have.
        min_words: Fewest words of an answer.
        max_words: Most words of an answer.
        checks: Names of the app's own checks (`lifecycle.evaluation.checks`) to make, besides the built-in ones.
        on_truncated: What becomes of a run whose answer was cut (`texts.CUT`): `accept` keeps the answer, with a part
            `complete` of 0 in its score; `fail` fails the run.
        weights: How much parts count in the overall score; 1 where nothing is said, 0 to leave a part out of it.
        judge: An agent that judges answers.
        foundry: Microsoft Foundry's evaluators; they need the app's Foundry project.
    """

    share: float | None = None
    topics: list[str] | None = []
    citations: int | None = None
    structure: (
        list[Literal["paragraphs", "bullets", "headings", "table", "code", "json"]]
        | None
    ) = []
    min_words: int | None = None
    max_words: int | None = None
    checks: list[str] | None = []
    on_truncated: Literal["accept", "fail"] | None = "accept"
    weights: dict[str, float] | None = {}
    judge: JudgePolicy | None = None
    foundry: FoundryPolicy | None = None


class EvaluationView(BaseModel):
    """
    A scored answer.
    """

    agent: str
    version: str
    model: str
    run_id: str
    session_id: str
    attempt: int
    at: AwareDatetime
    score: Score
    judged: list[str]


class FiguresView(BaseModel):
    """
    What some runs come to. Shares are 0-1 and null without anything to take a share of.

    `latency_ms` is from a run's acceptance to its answer, `model_ms` the attempt's model calls, `queue_ms` the wait for
    the first attempt. `cost_per_run_micro_usd` is null, too, when a call has no known price. `codes` says why attempts
    failed.
    """

    runs: int
    succeeded: int
    failed: int
    cancelled: int
    retried_attempts: int
    dead_letters: int
    error_rate: float | None
    retry_rate: float | None
    latency_ms: QuantilesView
    model_ms: QuantilesView
    queue_ms: QuantilesView
    quality: float | None
    calls: int
    tokens: int
    cached_share: float | None
    cost_micro_usd: int
    cost_per_run_micro_usd: float | None
    wasted_micro_usd: int
    wasted_share: float | None
    unpriced_calls: int
    unmetered_calls: int
    codes: dict[str, int]


class FiringPage(BaseModel):
    """
    Alerts that fired, newest first.
    """

    items: list[FiringView]
    next: str | None


class HandoffTrigger(BaseModel):
    """
    When a member hands over, and to whom.

    Attributes:
        name: Unique in its member.
        condition: What must hold; `extension:name` for one that an extension brings.
        parameters: What the condition goes by.
        target: The member that takes over.
        target_specialization: Or the specialization of whoever takes over.
        priority: 0-100; of several triggers that fire, the one with the highest counts.
        active: Whether it is looked at.
    """

    name: str
    condition: (
        Literal[
            "keyword_detected",
            "capability_requested",
            "sentiment_below",
            "quality_below",
            "failures",
            "cost_above",
            "turns_above",
            "always",
        ]
        | str
    )
    parameters: Parameters | None = Field(
        {
            "keywords": [],
            "capability": None,
            "below": None,
            "check": None,
            "count": None,
            "usd": None,
        },
        validate_default=True,
    )
    target: str | None = None
    target_specialization: str | None = None
    priority: int | None = 50
    active: bool | None = True


class HoldPage(BaseModel):
    """
    Legal holds by scope.
    """

    items: list[HoldView]
    next: str | None


class InputItem(BaseModel):
    """
    An item of a response's input: a message, a call of a tool of the caller's, what came of one; else refused.
    """

    type: str | None = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[TriggersHttpOpenaiViewsPart] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = ""
    output: str | list[TriggersHttpOpenaiViewsPart] | None = None


class LifecycleView(BaseModel):
    """
    What has become of a workspace's agents: in all, in the last 24 hours, and at the latest look for drift.
    """

    agents: dict[str, int]
    versions: int
    mean_active_age_s: float
    mean_provisioning_s: float | None
    steps: dict[str, int]
    hours: list[HourView]
    most_made: list[MadeView]
    drift: dict[str, int]


class LoaderMetricsView(BaseModel):
    """
    How well a cache does.
    """

    cache_performance: CachePerformanceView
    agent_status: AgentStatusView
    preloading: PreloadingView


class McpServerView(BaseModel):
    """
    What an MCP server offered when the agent was declared, and what is different now, by tool.

    `problem` says why the server cannot be asked now; empty when it can.
    """

    server_label: str
    tools: list[OfferedToolView]
    changes: dict[str, Literal["added", "removed", "changed"]]
    problem: str


class Member(BaseModel):
    """
    An agent, a person or a rota that conversations are given to.

    Attributes:
        name: Unique in the team; the model hands over with `handoff_to_{name}`.
        agent: The agent; None for people.
        people: Who answers, as sign-in names them; one is a person, several a rota. Empty for an agent.
        role: `primary` has what nobody else is asked for; `backup` has what finds no room elsewhere.
        specialization: What it is for.
        priority: 1 is asked first, where all else is equal.
        availability: Whether it is given conversations now.
        max_workload: Most conversations of the team that it holds open.
        capabilities: What it can do, in words that a query may ask for.
        handoff_triggers: When it hands over.
        description: What the others' models are told of it.
        channel: People: the notification channel that is told; None for every one that wants the event.
        hours: People: when they are there; None for always.
        metadata: Your own strings.
    """

    name: str
    agent: str | None = None
    people: list[str] | None = []
    role: Literal["primary", "specialist", "backup"] | None = "specialist"
    specialization: str | None = "general"
    priority: int | None = 1
    availability: Literal["available", "away"] | None = "available"
    max_workload: int | None = 10
    capabilities: list[str] | None = []
    handoff_triggers: list[HandoffTrigger] | None = Field([], validate_default=True)
    description: str | None = ""
    channel: str | None = None
    hours: Hours | None = None
    metadata: dict[str, str] | None = {}


class Message(BaseModel):
    """
    A message of the conversation.
    """

    role: str
    content: str | list[Content] | None = None
    toolCalls: list[ToolCall] | None = Field([], validate_default=True)
    toolCallId: str | None = None


class NamedUsageView(BaseModel):
    """
    A pool and how much of it is used.
    """

    pool: str
    usage: PoolUsageView


class NewSession(BaseModel):
    """
    Which agent a session is with, whose it is, and its id if the caller chooses it.
    """

    agent: str
    user_id: str | None = None
    session_id: str | None = None
    limits: LimitsView | None = Field(
        {
            "max_turns": None,
            "max_duration_s": None,
            "idle_timeout_s": None,
            "max_history_tokens": None,
            "max_failures": None,
        },
        validate_default=True,
    )
    preferences: Preferences | None = None
    pin_version: bool | None = False
    priority: Literal["normal", "high", "low"] | None = None


class OptimizationSummaryView(BaseModel):
    """
    What was found, without the proposals.

    Attributes:
        whole: Whether all facts of these days were read; else the latest of each day.
        spent_micro_usd: What they cost.
        projected_micro_usd: What that comes to in 30 days.
        projected_savings: What the recommended proposals are thought to save in 30 days; an upper bound where several
            concern one agent.
        target_reached: Whether that is the target.
    """

    id: str
    created_at: AwareDatetime
    first: date
    last: date
    facts: int
    whole: bool
    spent_micro_usd: int
    projected_micro_usd: int
    projected_savings: SavingView
    target_reached: bool


class OptimizeView(BaseModel):
    """
    What was, or with `dry_run` would be, done to this worker's cache, in order.
    """

    dry_run: bool
    items: list[TriggersHttpLoaderViewsStepView]


class OutputMessage(BaseModel):
    """
    The answer.
    """

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: str
    content: list[OutputText]


class Overrides(BaseModel):
    """
    What a workspace says for all its agents, where they do not say it themselves.
    """

    provider: str | None = None
    model: str | None = None
    instructions: str | None = None
    description: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = None
    context_providers: list[str] | None = None
    response_format: ResponseFormat | None = None
    simulate: Simulation | None = None
    labels: dict[str, str] | None = None
    pinned: bool | None = None
    idle_after_s: int | None = None
    max_history_tokens: int | None = None
    evaluation: EvaluationPolicy | None = None
    sla: SlaPolicy | None = None
    ladder: list[DegradationStep] | None = None
    runaway: Runaway | None = None
    approvals: list[ApprovalRule] | None = None
    client_tools: bool | None = None
    more_instructions: str | None = None
    personality: str | None = None
    capabilities: dict[str, bool] | None = {}
    guidelines: dict[str, Guideline | None] | None = Field({}, validate_default=True)
    prohibited: list[str] | None = []


class OverridesView(BaseModel):
    """
    What a workspace says for all its agents; version 0 without content before the first time.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Overrides | None


class Parallel(BaseModel):
    """
    A step that asks several agents side by side.

    Attributes:
        name: Its name in the workflow; its answer is the aggregator's, or all of its branches' one under the other.
        parallel: Its branches.
        aggregator: The agent that makes one answer of the branches' answers, named in its prompt; None for none.
        when: A condition without which all of it is skipped; None for always.
        on_failure: Whether the workflow fails with the aggregator, or goes on without its answer.
    """

    name: str
    parallel: list[Step]
    aggregator: Task | None = None
    when: str | None = None
    on_failure: Literal["fail", "continue"] | None = "fail"


class PersonalityPage(BaseModel):
    """
    Personalities by name, or the versions of one, newest first; one without content was a deletion.
    """

    items: list[PersonalityView]
    next: str | None


class PlanLineView(BaseModel):
    """
    A difference: why it is one, what applying would do, and what has become of it.

    `number` is its place in the plan, from 0 on.
    """

    number: int
    agent: str
    kind: Literal[
        "create", "update", "adopt", "recreate", "changed", "orphan", "tail", "tools"
    ] = Field(..., description="In which way things differ.")
    action: Literal["ensure", "renew", "sweep", "remove", "none"] = Field(
        ..., description="What applying a line does."
    )
    destructive: bool
    provider: str
    why: str
    would: str
    revision: int
    versions: list[ProviderVersionView]
    outcome: Literal[
        "planned", "skipped", "remark", "sent", "pending", "done", "failed", "overtaken"
    ] = Field(..., description="What has become of a line.")
    detail: str


class PlanView(BaseModel):
    """
    How the registry and the providers differ.

    `counts` are the lines by kind, `total` all of them; `unchanged` counts the agents that are as they should be;
    `unseen` are providers that could not be looked at, with the code of the reason. `applied` counts how often the
    plan, or some of its lines, was applied; each line's `outcome` says what has become of it.
    """

    id: str
    at: AwareDatetime
    digest: str
    counts: dict[str, int]
    total: int
    unchanged: int
    unseen: dict[str, str]
    applied: int
    items: list[PlanLineView]
    next: str | None


class Policy(BaseModel):
    """
    What a workspace demands. No spec can weaken it.

    Attributes:
        rules: Which calls need an approval; the first that covers a call says on what terms.
        standing: Whether standing rules may let calls pass that these rules cover.
    """

    rules: list[PolicyRule] | None = Field([], validate_default=True)
    standing: bool | None = False


class PoolBody(BaseModel):
    """
    A pool, as it is declared.

    Attributes:
        agents: Its agents by name.
        labels: Its agents by label: those that have all of these and that no pool names.
        limits: What they may take together.
        shares: Parts of single agents, by agent.
        strategy: How much of a reserve others may use meanwhile: aggressive all, balanced half, conservative none.
        when_full: What becomes of what finds no room: wait in order of priority, refuse with 429, or spill over.
        spill_to: The pool whose room it takes instead, where when_full is spill.
        aging_s: How much longer a run of normal priority must have waited to come before one of high priority.
        thresholds: When the pool is in a warning state.
    """

    agents: list[str] | None = []
    labels: dict[str, str] | None = {}
    limits: PoolLimitsBody
    shares: dict[str, ShareBody] | None = Field({}, validate_default=True)
    strategy: Literal["aggressive", "balanced", "conservative"] | None = "balanced"
    when_full: Literal["wait", "refuse", "spill"] | None = "wait"
    spill_to: str | None = None
    aging_s: float | None = 60.0
    thresholds: ThresholdsBody | None = Field(
        {"memory": 0.9, "cpu": 0.85, "sessions": 0.95, "tokens": 0.9},
        validate_default=True,
    )


class PoolView(BaseModel):
    """
    A pool, and how much of it is used; `usage` is null in lists.
    """

    name: str
    agents: list[str]
    labels: dict[str, str]
    limits: PoolLimitsView
    shares: dict[str, ShareView]
    strategy: Literal["aggressive", "balanced", "conservative"]
    when_full: Literal["wait", "refuse", "spill"]
    spill_to: str | None
    aging_s: float
    thresholds: ThresholdsView
    usage: PoolUsageView | None


class PricePage(BaseModel):
    """
    Rates of your own.
    """

    items: list[PriceView]
    next: str | None


class ProposalView(BaseModel):
    """
    One way to spend less; money in micro-USD, shares 0-1.
    """

    id: str
    kind: Literal[
        "cheaper_model",
        "output_limit",
        "reasoning_effort",
        "compaction",
        "judges",
        "prompt_cache",
        "retries",
        "wasted_spend",
        "unused_agent",
        "unused_versions",
        "idle_instances",
    ]
    agent: str
    title: str
    evidence: dict[str, float | str]
    formula: str
    projected_savings: SavingView
    risk: Literal["low", "medium", "high"]
    harm: str
    change: ProposedChangeView
    recommended: bool
    applied: AppliedView | None


class PruneView(BaseModel):
    """
    What prune found, and whether it acted on it.
    """

    dry_run: bool
    items: list[VerdictView]


class RecommendationView(BaseModel):
    """
    How many instances there should be, and what that rests on: L = λW, runs a second times seconds a run.

    `current` is null where the app may not be asked; `held` says why nothing is to be changed now, empty where it may.
    """

    id: str
    arrivals_per_s: float
    service_s: float
    at_a_time: float
    instances: int
    always_ready: int
    held: str
    reasons: list[str]
    forecast: LoadForecastView
    current: SiteScaleView | None
    scale: SiteScaleView
    commands: list[str]


class ReportPage(BaseModel):
    """
    Periods in which anything was spent, newest first.
    """

    items: list[SummaryView]
    next: str | None


class ReportView(BaseModel):
    """
    What was spent in a period, compared with the one before, by day, agent, model and user.
    """

    period: PeriodView
    complete: bool
    total: SpendView
    previous: SpendView
    by_day: dict[str, SpendView]
    by_agent: dict[str, SpendView]
    by_model: dict[str, SpendView]
    by_user: dict[str, SpendView]
    forecast: ForecastView | None
    movers: list[MoverView]
    anomalies: list[AnomalyView]
    budgets: list[BudgetPositionView]
    updated_at: AwareDatetime


class ResourceHistoryView(BaseModel):
    """
    What was used, by the hour.
    """

    items: list[ResourceHourView]


class ResourceUseView(BaseModel):
    """
    What is used now, and the worst level of any worker or pool.
    """

    level: Literal["ok", "warning", "critical"]
    workers: list[WorkerUseView]
    pools: list[NamedUsageView]


class ResponseBody(BaseModel):
    """
    A request of Responses. `X-Ignored-Parameters` of the answer names those that the agent decides.
    """

    model: str
    stream: bool | None = False
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream_options: StreamOptions | None = None
    tools: list[Any] | None = []
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    moderation: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    temperature: float | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    input: str | list[InputItem]
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    background: bool | None = False
    store: bool | None = None
    access_programs: Any = None
    context_management: Any = None
    image: Any = None
    include: list[str] | None = []
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    prompt: Any = None
    reasoning: Any = None
    text: dict[str, Any] | None = {}
    truncation: str | None = None


class ResponseView(BaseModel):
    """
    A run as a response.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: str
    background: bool
    model: str
    output: list[OutputMessage | OutputCall]
    error: ResponseError | None
    incomplete_details: Incomplete | None
    instructions: None = Field(None)
    metadata: dict[str, str]
    conversation: ConversationId
    previous_response_id: str | None
    usage: ResponseUsage | None
    user: str | None
    parallel_tool_calls: bool | None = True
    tool_choice: str | None = "auto"
    tools: list[Any] | None = []
    temperature: float | None = None
    top_p: float | None = None


class RetentionReceiptPage(BaseModel):
    """
    Receipts, newest first.
    """

    items: list[RetentionReceiptView]
    next: str | None


class RetentionVerdictView(BaseModel):
    """
    What becomes of a session, or of the part of it that has a time of its own, and why.
    """

    part: Literal[
        "sessions", "transcripts", "runs", "tool_calls", "evaluations", "facts"
    ] = Field(..., description="A kind of data with a retention time of its own.")
    session_id: str
    erase: bool
    reason: str


class RetentionView(BaseModel):
    """
    What the policy would delete (at most 1,000 sessions are shown), or what it deleted.

    `days` are those of whose facts a part would be deleted.
    """

    dry_run: bool
    sessions: list[RetentionVerdictView] | None = Field([], validate_default=True)
    days: dict[str, list[date]] | None = None
    receipt: RetentionReceiptView | None = None


class RouteBody(BaseModel):
    """
    A route, as it is declared.
    """

    deployments: list[DeploymentBody]


class RoutePage(BaseModel):
    """
    Routes by name.
    """

    items: list[RouteView]
    next: str | None


class RouteStatusView(BaseModel):
    """
    A route, and how its deployments are doing.
    """

    name: str
    deployments: list[DeploymentStatusView]


class RunInput(BaseModel):
    """
    A request to run an agent: `threadId` is a session, and the same `runId` in it is the same run.

    Tools of the front end's are given to agents whose spec has `client_tools`. Context and state are not given to the
    agent; `X-Ignored-Parameters` names what came and is not.
    """

    threadId: str
    runId: str
    messages: list[Message]
    tools: list[Tool] | None = Field([], validate_default=True)
    context: list[Any] | None = []
    state: Any = None
    forwardedProps: Any = None
    resume: list[Resume] | None = Field([], validate_default=True)


class RunRequest(BaseModel):
    """
    What a caller asks of an agent.

    Attributes:
        query: The message to the agent; blank only with results in `client_tools`.
        session_id: The conversation to go on with, or an id of the caller's choosing for a new one; None starts one.
        user_id: Who asks; None for nobody in particular.
        expected_topics: What a good answer speaks of; used to score the answer.
        context: What the answer must be borne out by; the model is told it with the query.
        metadata: At most 16 strings that come back with the run.
        stream: Whether the answer is told as `run.delta` events while the model writes it.
        pin_version: Whether a session that starts with this run goes on with the agent as it is declared now.
        priority: The session's priority; None for its own, and for normal where it starts with this run.
        callback: Where the run's end is to be reported, by webhook or to a reply queue; None for nowhere.
        client_tools: Tools of the caller's that the model may ask for, and what came of the calls that the run before
            ended with; None for none. Only where the agent's spec has `client_tools`.
    """

    query: str
    session_id: str | None = None
    user_id: str | None = None
    expected_topics: list[str] | None = []
    context: str | None = None
    metadata: dict[str, str] | None = {}
    stream: bool | None = False
    pin_version: bool | None = False
    priority: Literal["normal", "high", "low"] | None = None
    callback: Callback | None = None
    client_tools: ClientTools | None = None


class RunView(BaseModel):
    """
    A run: what was asked, how far it is, and its answer once there is one.

    `team` is null unless one was asked; `workflow_run_id` is the workflow run that it is a step of, null for none.
    `tool_calls` are those of the caller's own tools that it ended with instead of an answer.
    """

    id: str
    agent: str
    session_id: str
    workflow_run_id: str | None
    user_id: str | None
    query: str
    state: Literal[
        "queued", "running", "waiting", "succeeded", "failed", "cancelled"
    ] = Field(..., description="Where a run is.")
    stage: (
        Literal[
            "INITIALIZING",
            "CHECKING_BUDGET",
            "RUNNING",
            "EVALUATING",
            "COMPLETED",
            "FAILED",
        ]
        | None
    )
    attempt: int
    redriven: int
    cancel_requested: bool
    answer: str | None
    finish_reason: str | None
    tool_calls: list[ToolCallView]
    score: Score | None
    model: str | None
    version: str | None
    error: RunError | None
    spend: SpendView
    wasted: SpendView
    metadata: dict[str, str]
    stream: bool
    priority: Literal["normal", "high", "low"] = Field(
        ...,
        description="Which queue the runs of a session travel on, and so which workers they wait for.",
    )
    team: TeamRunView | None
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class ScalingAppliedView(BaseModel):
    """
    How the app was scaled, and how it is.
    """

    before: SiteScaleView
    after: SiteScaleView


class ScalingPolicyBody(BaseModel):
    """
    How the app is to be scaled.

    Attributes:
        min_instances: Instances that carry out runs and are always ready.
        max_instances: Most that are asked for.
        concurrency: Runs that one instance carries out at a time: at most maxConcurrentSessions of host.json.
        up: The share of the slots that is to be in use at a peak.
        down: The share of what is always ready below which there is less.
        cooldown_s: How long nothing is changed after a change.
        predictive: Whether for the coming day by forecast, or for what the last hour brought.
        triggers: What else there is to look at.
        http_concurrency: HTTP requests that an instance is to take at a time; left out, it stays as it is.
    """

    min_instances: int | None = 2
    max_instances: int | None = 10
    concurrency: int | None = 32
    up: float | None = 0.8
    down: float | None = 0.3
    cooldown_s: float | None = 300
    predictive: bool | None = True
    triggers: list[TriggerBody] | None = Field([], validate_default=True)
    http_concurrency: int | None = None


class ScalingPolicyView(BaseModel):
    """
    How the app is to be scaled.
    """

    min_instances: int
    max_instances: int
    concurrency: int
    up: float
    down: float
    cooldown_s: float
    predictive: bool
    triggers: list[TriggerView]
    http_concurrency: int | None


class ScheduleBody(BaseModel):
    """
    Whom to ask what, and when: `cron` is an NCRONTAB expression, its times are those of `time_zone`.

    `missed` says what becomes of times at which nothing could be submitted: `skip` drops them, `latest` makes up for
    the last one, `all` for up to 100.
    """

    agent: str
    run: RunRequest
    cron: str
    time_zone: str | None = "UTC"
    missed: Literal["skip", "latest", "all"] | None = "latest"
    paused: bool | None = False


class ScheduleView(BaseModel):
    """
    A schedule; `next_at` are the next times that it is due, none while it is paused.

    `run` is shown without its callback, whose address may be a secret; `has_callback` says whether there is one.
    """

    name: str
    agent: str
    run: RunRequest
    has_callback: bool
    cron: str
    time_zone: str
    missed: Literal["skip", "latest", "all"] = Field(
        ...,
        description="What becomes of times at which nothing could be submitted: the app was down, or the queue was.",
    )
    paused: bool
    next_at: list[AwareDatetime]
    last: LastDueView | None
    missed_times: int
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SessionView(BaseModel):
    """
    A conversation; `served` is null where it is with one agent for all its life.
    """

    id: str
    agent: str
    user_id: str | None
    state: Literal["started", "active", "paused", "waiting", "ended", "erased"] = Field(
        ..., description="Where a conversation is in its life."
    )
    pause_reason: str | None
    end_reason: str | None
    limits: LimitsView
    preferences: Preferences | None
    priority: Literal["normal", "high", "low"] = Field(
        ...,
        description="Which queue the runs of a session travel on, and so which workers they wait for.",
    )
    runs: int
    pending: int
    turns: int
    pin: PinView | None
    served: ServedView | None
    spend: SpendView
    created_at: AwareDatetime
    last_activity: AwareDatetime
    ended_at: AwareDatetime | None


class StandingPage(BaseModel):
    """
    Standing rules by agent; never more than a thousand.
    """

    items: list[StandingView]
    next: str | None


class StatsPage(BaseModel):
    """
    Statistics of agents by name, and of all of them together.
    """

    items: list[AgentStatsView]
    next: str | None
    lifecycle: LifecycleView


class StatusView(BaseModel):
    """
    How the system is: as well as its worst part. The uptime is that of the worker that answers.
    """

    status: Literal["healthy", "degraded", "critical"] = Field(
        ..., description="How well something is."
    )
    components: list[ComponentView]
    at: AwareDatetime
    started_at: AwareDatetime
    uptime_s: float


class StepPage(BaseModel):
    """
    The steps of a run, in order; there is only one page.
    """

    items: list[TriggersHttpRunsViewsStepView]
    next: str | None


class SystemStatusView(BaseModel):
    """
    How the system is, and what goes on in the workspace; null where that cannot be said now.
    """

    status: Literal["healthy", "degraded", "critical"] = Field(
        ..., description="How well something is."
    )
    components: list[ComponentView]
    at: AwareDatetime
    started_at: AwareDatetime
    uptime_s: float
    sessions_open: int | None
    runs: RunCountsView | None


class Team(BaseModel):
    """
    Agents and people who serve one conversation.

    Attributes:
        description: What it is for.
        members: Who.
        overflow: What becomes of a conversation that finds no room: it waits (`queue`), goes to members with the role
            `backup` and waits if these are full, too (`backup`), or is refused.
        handoff: How conversations change hands.
        escalation_path: Who has a conversation next that waits too long for a person.
        out_of_hours: Where a person is not there: the `next` member by the rule, or the conversation waits.
        requires_human_approval: Whether every answer waits for a person's approval before it leaves.
        approvers: Who may approve answers: `user:…`, `role:…`, `group:…` or `link`; none for anybody in the workspace.
        idle_timeout_s: Seconds without a run after which a conversation ends and makes room.
    """

    description: str | None = ""
    members: list[Member]
    overflow: Literal["queue", "backup", "refuse"] | None = "queue"
    handoff: HandoffPolicy | None = Field(
        {
            "context": "full",
            "last_turns": 5,
            "summarizer": None,
            "max_hops": 5,
            "max_returns": 1,
            "when_impossible": "stay",
        },
        validate_default=True,
    )
    escalation_path: list[EscalationLevel] | None = Field([], validate_default=True)
    out_of_hours: Literal["next", "wait"] | None = "next"
    requires_human_approval: bool | None = False
    approvers: list[str] | None = []
    idle_timeout_s: int | None = 3600


class TeamVersionView(BaseModel):
    """
    A version of a team; one without `team` was a deletion.
    """

    version: int
    updated_at: AwareDatetime | None
    team: Team | None


class TeamView(BaseModel):
    """
    A team and its version.
    """

    name: str
    version: int
    updated_at: AwareDatetime | None
    team: Team


class Template(BaseModel):
    """
    What agents of a kind have in common.

    Attributes:
        extends: The template that this one goes on from.
        category: What kind of template it is, to find it by.
    """

    provider: str | None = None
    model: str | None = None
    instructions: str | None = None
    description: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = None
    context_providers: list[str] | None = None
    response_format: ResponseFormat | None = None
    simulate: Simulation | None = None
    labels: dict[str, str] | None = None
    pinned: bool | None = None
    idle_after_s: int | None = None
    max_history_tokens: int | None = None
    evaluation: EvaluationPolicy | None = None
    sla: SlaPolicy | None = None
    ladder: list[DegradationStep] | None = None
    runaway: Runaway | None = None
    approvals: list[ApprovalRule] | None = None
    client_tools: bool | None = None
    more_instructions: str | None = None
    personality: str | None = None
    capabilities: dict[str, bool] | None = {}
    guidelines: dict[str, Guideline | None] | None = Field({}, validate_default=True)
    prohibited: list[str] | None = []
    extends: str | None = None
    category: str | None = None


class TemplateView(BaseModel):
    """
    A template; `builtin` ones are the app's.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Template | None


class TimerPage(BaseModel):
    """
    The app's timers.
    """

    items: list[TimerView]
    next: str | None


class TrailPage(BaseModel):
    """
    What happened to an agent, newest first.
    """

    items: list[TriggersHttpAgentsViewsStepView]
    next: str | None


class TranscriptView(BaseModel):
    """
    A session as a whole.
    """

    session: SessionView
    messages: list[TurnView]
    runs: list[RunView]
    events: list[EventView]


class TurnPage(BaseModel):
    """
    Messages in order.
    """

    items: list[TurnView]
    next: str | None


class UsagePage(BaseModel):
    """
    How much of each limit is used.
    """

    items: list[UsageView]
    next: str | None


class VersionFiguresView(BaseModel):
    """
    What one version of an agent did; `version` is empty for attempts that did not come as far as having one.
    """

    version: str
    since: AwareDatetime
    figures: FiguresView


class VersionScoresView(BaseModel):
    """
    What a version's answers were scored: in all, and day by day.
    """

    version: str
    current: bool
    parts: list[MeanView]
    days: list[DayMeansView]


class WaitingView(BaseModel):
    """
    A conversation that a person has: since when, until when it is due, and who has taken it.
    """

    session: SessionView
    team: str
    member: str
    reason: str
    since: AwareDatetime
    due: AwareDatetime | None
    level: int
    claimed_by: str
    claimed_at: AwareDatetime | None
    facts: list[str]
    questions: list[str]
    summary: str


class WorkerView(BaseModel):
    """
    A worker that has reported lately: a random id, and until when it has counted.

    `strategy` is its own where several are compared (LOADER_STRATEGIES), else null.
    """

    worker: str
    at: AwareDatetime
    metrics: LoaderMetricsView
    strategy: str | None


class WorkflowRunView(BaseModel):
    """
    A run of a workflow. Its cost is the sum of its steps', its score the mean of its answers'.
    """

    id: str
    workflow: str
    version: int
    state: Literal["running", "succeeded", "failed", "cancelled"] = Field(
        ..., description="Where a workflow run is."
    )
    code: str
    failed_step: str
    cancel_requested: bool
    input: str
    user_id: str | None
    metadata: dict[str, str]
    priority: Literal["normal", "high", "low"] = Field(
        ...,
        description="Which queue the runs of a session travel on, and so which workers they wait for.",
    )
    answer: str | None
    score: int | None
    spend: SpendView
    created_at: AwareDatetime
    finished_at: AwareDatetime | None
    steps: list[TriggersHttpWorkflowsViewsStepView]


class WorkflowSpec(BaseModel):
    """
    A workflow as its owner declares it.

    Attributes:
        description: What it is for.
        steps: What it does, in order; its answer is that of the last step that gave one.
    """

    description: str | None = ""
    steps: list[Step | Parallel | GroupChat]


class WorkflowView(BaseModel):
    """
    A workflow and its version; without content where a version was a deletion.
    """

    name: str
    version: int
    updated_at: AwareDatetime | None
    content: WorkflowSpec | None


class ActivityPage(BaseModel):
    """
    Agents by priority, the highest first.
    """

    items: list[ActivityView]
    next: str | None


class AgentConfig(BaseModel):
    """
    An agent as its owner declares it.

    Attributes:
        template: The template that it is made from; None for a spec of its own.
        overrides: Whether the workspace's overrides apply to it.
    """

    provider: str | None = None
    model: str | None = None
    instructions: str | None = None
    description: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = None
    context_providers: list[str] | None = None
    response_format: ResponseFormat | None = None
    simulate: Simulation | None = None
    labels: dict[str, str] | None = None
    pinned: bool | None = None
    idle_after_s: int | None = None
    max_history_tokens: int | None = None
    evaluation: EvaluationPolicy | None = None
    sla: SlaPolicy | None = None
    ladder: list[DegradationStep] | None = None
    runaway: Runaway | None = None
    approvals: list[ApprovalRule] | None = None
    client_tools: bool | None = None
    more_instructions: str | None = None
    personality: str | None = None
    capabilities: dict[str, bool] | None = {}
    guidelines: dict[str, Guideline | None] | None = Field({}, validate_default=True)
    prohibited: list[str] | None = []
    template: str | None = None
    overrides: bool | None = True


class AgentFiguresView(BaseModel):
    """
    What an agent did.
    """

    agent: str
    figures: FiguresView


class AgentSpec(BaseModel):
    """
    An agent as its owner declares it.

    Attributes:
        provider: Who runs the model: `offline` (no model, for trials and tests), `openai` (any compatible endpoint),
            `foundry` (an agent in a Microsoft Foundry project), `route` (the deployments of a route), or a chat client
            that an extension brings.
        model: Model or deployment name at the provider; with `route`, the route's name.
        instructions: System prompt, at most 100,000 characters.
        description: What the agent is for, shown in lists.
        temperature: Sampling temperature 0-2; None for the provider's default.
        top_p: Nucleus sampling 0-1; None for the provider's default.
        max_output_tokens: Most tokens one model call may produce; None for the provider's default.
        reasoning_effort: How much a reasoning model thinks before it answers; None for its default. Not with `offline`.
        tools: What the model may call: names of function tools, MCP servers, and objects for tools that the provider
            runs (`lifecycle.specs.hosted_tools`), which only `foundry` has.
        context_providers: What adds to what the model is given before each run, by name; an extension brings them.
        response_format: The JSON Schema that answers follow; None for text. Not with `offline`.
        simulate: What the `offline` provider should do; only allowed there.
        labels: At most 16 free key-value pairs to find and group agents by.
        pinned: True keeps the agent from being retired when idle.
        idle_after_s: Seconds without use before the agent is retired; None for the app's setting.
        max_history_tokens: Most tokens of a session's history that its model is told, where the session does not say;
            None for the app's setting.
        evaluation: What a good answer of the agent is; None scores what every answer can be scored for.
        sla: What service level it is to keep; None for the app's settings.
        ladder: What the agent does as its budgets are used up, in ascending steps.
        runaway: When a run of it has run away; None for the app's settings.
        approvals: Which tool calls need an approval, beside those that the workspace's policy names.
        client_tools: Whether callers may bring tools of their own, which they call themselves. Not with `foundry`,
            whose agents have the tools of their version.
    """

    provider: str | None = "offline"
    model: str
    instructions: str | None = ""
    description: str | None = ""
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = None
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = Field(
        [], validate_default=True
    )
    context_providers: list[str] | None = []
    response_format: ResponseFormat | None = None
    simulate: Simulation | None = None
    labels: dict[str, str] | None = {}
    pinned: bool | None = False
    idle_after_s: int | None = None
    max_history_tokens: int | None = None
    evaluation: EvaluationPolicy | None = None
    sla: SlaPolicy | None = None
    ladder: list[DegradationStep] | None = Field([], validate_default=True)
    runaway: Runaway | None = None
    approvals: list[ApprovalRule] | None = Field([], validate_default=True)
    client_tools: bool | None = False


class AgentView(BaseModel):
    """
    An agent: what was declared, and what became of it.
    """

    name: str
    workspace: str
    state: Literal[
        "registered", "provisioning", "active", "idle", "disabled", "failed", "deleted"
    ] = Field(..., description="Where an agent is in its life.")
    spec: AgentSpec
    revision: int
    current: bool
    version: ProviderVersionView | None
    superseded_versions: int
    failure: FailureView | None
    health: ProviderHealthView | None
    retirement: RetirementView | None
    created_at: AwareDatetime
    updated_at: AwareDatetime
    last_used: AwareDatetime | None
    uses: int


class AnalyticsView(BaseModel):
    """
    What happened over some UTC days. `events` counts events by name and by the state, stage and reason they tell.
    """

    first: date
    last: date
    sessions: SessionCountsView
    runs: RunCountsView
    handoffs: HandoffCountsView
    performance: FiguresView
    performance_by_agent: dict[str, FiguresView]
    resources: ResourcesView
    health: StatusView
    events: dict[str, int]


class ApprovalPage(BaseModel):
    """
    Approvals, those of the oldest runs first.
    """

    items: list[ApprovalView]
    next: str | None


class BudgetPage(BaseModel):
    """
    Budgets by scope.
    """

    items: list[BudgetView]
    next: str | None


class CallbackPage(BaseModel):
    """
    Callbacks, newest run first.
    """

    items: list[CallbackView]
    next: str | None


class CapabilityPage(BaseModel):
    """
    Capabilities by name, or the versions of one, newest first; one without content was a deletion.
    """

    items: list[CapabilityView]
    next: str | None


class ChannelPage(BaseModel):
    """
    Channels by name.
    """

    items: list[ChannelView]
    next: str | None


class ChatBody(BaseModel):
    """
    A request of Chat Completions. `X-Ignored-Parameters` of the answer names those that the agent decides.
    """

    model: str
    stream: bool | None = False
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    stream_options: StreamOptions | None = None
    tools: list[Any] | None = []
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    moderation: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    temperature: float | None = None
    top_logprobs: int | None = None
    top_p: float | None = None
    messages: list[ChatMessage]
    n: int | None = None
    audio: Any = None
    frequency_penalty: float | None = None
    function_call: Any = None
    functions: list[Any] | None = []
    logit_bias: Any = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    modalities: list[str] | None = None
    prediction: Any = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    seed: int | None = None
    stop: Any = None
    store: bool | None = None
    verbosity: str | None = None
    web_search_options: Any = None


class ChatCompletion(BaseModel):
    """
    An answer of Chat Completions.
    """

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


class CostGroupView(BaseModel):
    """
    What one group spent; `parts` where it was asked to be split.
    """

    name: str
    spend: SpendView
    parts: list[CostPartView]


class CostsView(BaseModel):
    """
    What was spent over some days.
    """

    first: date
    last: date
    group_by: str
    total: SpendView
    groups: list[CostGroupView]


class EffectiveView(BaseModel):
    """
    What an agent comes to, and where everything in it comes from.

    `current` says whether the agent is already declared so; `problem`, why it stays as it was. `mcp` are the
    MCP servers that this app calls for it.
    """

    name: str
    revision: int
    current: bool
    problem: FailureView | None
    declared: AgentConfig
    spec: AgentSpec
    fingerprint: str
    values: list[ValueView]
    instructions: list[SectionView]
    choices: list[ValueView]
    sources: list[SourceView]
    mcp: list[McpServerView]


class EvaluationPage(BaseModel):
    """
    Scored answers, newest first.
    """

    items: list[EvaluationView]
    next: str | None


class InboxPage(BaseModel):
    """
    Conversations that people have, the longest waiting first; a page can be short while there is a `next`.
    """

    items: list[WaitingView]
    next: str | None


class LoaderView(BaseModel):
    """
    How the workers' caches of the workspace's agents do.

    `policy` is that of the worker that answers. `learned_until` is until when uses are part of the ranking; null before
    the first. `strategies` are those that workers are divided between, the best first; empty where they are not.
    """

    policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]
    total: LoaderMetricsView
    workers: list[WorkerView]
    learned_until: AwareDatetime | None
    strategies: list[StrategyView]
    insights: list[InsightView]


class OptimizationPage(BaseModel):
    """
    What was found, newest first.
    """

    items: list[OptimizationSummaryView]
    next: str | None


class OptimizationView(BaseModel):
    """
    What was found.
    """

    id: str
    created_at: AwareDatetime
    first: date
    last: date
    facts: int
    whole: bool
    spent_micro_usd: int
    projected_micro_usd: int
    projected_savings: SavingView
    target_reached: bool
    proposals: list[ProposalView]


class OverridesPage(BaseModel):
    """
    Versions of a workspace's overrides, newest first; one without content was a deletion.
    """

    items: list[OverridesView]
    next: str | None


class PerformancePage(BaseModel):
    """
    Agents by name, with what they did.
    """

    items: list[AgentFiguresView]
    next: str | None


class PerformanceView(BaseModel):
    """
    How an agent performed from the first to the last UTC day, in all, by version and over time.
    """

    agent: str
    first: date
    last: date
    runs_per_hour: float
    figures: FiguresView
    sla: SlaView
    versions: list[VersionFiguresView]
    trend: list[PointView]


class PoolPage(BaseModel):
    """
    Pools by name.
    """

    items: list[PoolView]
    next: str | None


class RunPage(BaseModel):
    """
    Runs, newest first.
    """

    items: list[RunView]
    next: str | None


class SchedulePage(BaseModel):
    """
    Schedules by name.
    """

    items: list[ScheduleView]
    next: str | None


class ScoresView(BaseModel):
    """
    What an agent's versions were scored, the latest one first.
    """

    agent: str
    versions: list[VersionScoresView]


class SessionPage(BaseModel):
    """
    Sessions, newest first.
    """

    items: list[SessionView]
    next: str | None


class TeamPage(BaseModel):
    """
    Teams by name.
    """

    items: list[TeamView]
    next: str | None


class TeamVersionPage(BaseModel):
    """
    Versions of a team, newest first.
    """

    items: list[TeamVersionView]
    next: str | None


class TemplatePage(BaseModel):
    """
    Templates by name, or the versions of one, newest first; one without content was a deletion.
    """

    items: list[TemplateView]
    next: str | None


class VersionSpecView(BaseModel):
    """
    The spec that a version was made from; of several with the label, the newest.
    """

    version: str
    spec: AgentSpec


class WorkflowPage(BaseModel):
    """
    Workflows by name, or the versions of one, newest first.
    """

    items: list[WorkflowView]
    next: str | None


class WorkflowRunPage(BaseModel):
    """
    Runs of a workflow, newest first.
    """

    items: list[WorkflowRunView]
    next: str | None


class AgentPage(BaseModel):
    """
    Agents by name.
    """

    items: list[AgentView]
    next: str | None
