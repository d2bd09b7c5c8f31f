"""The API's values, generated from its openapi.json by `make client`. Do not edit."""

from __future__ import annotations
from typing import Any, Literal
from pydantic import AwareDatetime, BaseModel, Field
from datetime import date, time


class AgentStatsView(BaseModel):
    """
    Usage statistics of an agent: its runs, and the versions made and found at the provider.

    `reused` counts the runs that found an existing version: all but the first of each version made.
    """

    name: str
    state: Literal[
        "registered", "provisioning", "active", "idle", "disabled", "failed", "deleted"
    ] = Field(..., description="State of an agent.")
    uses: int
    last_used: AwareDatetime | None
    versions_created: int
    versions_adopted: int
    reused: int


class AgentStatusView(BaseModel):
    """
    Agents held in caches, and how many exist; `total_configurations` is null for one worker.
    """

    active_agents: int
    total_configurations: int | None
    max_active: int
    cache_utilization: float


class AgentUseView(BaseModel):
    """
    The usage of an agent with a share of its own.
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
    An alert rule: when to alert, and whom.

    Attributes:
        metric: The metric.
        agent: The agent it is about; `support-*` for all whose names begin with `support-`, later ones included; None
            or
            `*` for all agents of the workspace together.
        condition: How the value compares with the threshold when the rule is to fire: `gt`, `gte`, `lt` or `lte`.
        threshold: The threshold; times in ms, shares 0-1, money in USD.
        recover_at: The value at which the alert resolves; None for the threshold. A value beyond the threshold keeps a
            metric that varies around the threshold from firing again and again (hysteresis).
        window_s: Length of the time window up to now, in seconds; by the minute up to six hours, else by the hour.
        min_runs: Fewest runs in the window; with fewer, a metric computed from runs has no data.
        severity: Severity.
        cooldown_s: Shortest time between two firings, in seconds.
        channels: Channels it is sent to; empty for every channel that subscribes to `alert.fired`, `alert.resolved`.
        enabled: False switches the rule off; an open firing resolves.
        description: Text for people; part of the notification.
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
        "conversations_waiting_for_member",
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
    The state of a rule: `ok` or `firing`, since when, and the last known value of the metric.

    `no_data` means that the last evaluation had no data; status and value are then from an earlier one.
    """

    status: str
    since: AwareDatetime
    value: float | None
    no_data: bool
    fired_at: AwareDatetime | None


class AlertView(BaseModel):
    """
    An alert rule, its state, and the channels it notifies.

    `default` means that it exists without being set. `misconfigured` lists, as JSON pointers into the rule, an agent or
    channels that do not exist (any more). `state` is null until the rule is first evaluated; for a default rule, until
    it first fires.
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
    An anomalous day of an agent, compared with the weeks before (micro-USD).
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
    The proposals to apply, by id.
    """

    proposals: list[str]


class ApprovalRule(BaseModel):
    """
    Which tool calls need an approval, who may decide, and within which time.

    Attributes:
        tools: Patterns of tools' names; `*` stands for any characters, `?` for one.
        when: A condition in CEL over the call's arguments, like `amount > 100`; None for every call.
        approvers: Who may decide, by level: `user:…`, `role:…`, `group:…`, or `link` for the holder of the
            notification's link; empty for anybody in the workspace.
        expires_s: Seconds until each level expires.
        on_expiry: What happens then: `reject` the call, `escalate` to the next level and reject after the last, or
            `keep` waiting.
        not_requester: Whether the user who asked the agent may not decide.
    """

    tools: list[str]
    when: str | None = None
    approvers: list[list[str]] | None = []
    expires_s: int | None = 86400
    on_expiry: Literal["reject", "escalate", "keep"] | None = "reject"
    not_requester: bool | None = False


class ApprovalWhen(BaseModel):
    """
    A condition on a call's arguments under which it needs an approval.
    """

    when: str


class BatchResultLine(BaseModel):
    """
    The result of a line: the run's state, or `not_submitted` or `refused`, and its answer or error.
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
    The progress of a batch: runs submitted, how many of them are under way, and how the others ended.

    `stopped_by` is why no more are submitted: `cost_cap`, or `cost_unknown` where a model's price is not known. A list
    and `cancel` count the runs that had ended when the timer last looked, `GET batches/{id}` those that have ended.
    """

    id: str
    state: Literal["running", "cancelling", "completed", "cancelled", "stopped"] = (
        Field(..., description="State of a batch.")
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
    A run that waits for a budget: the beginning of its query, why it waits, and what it has spent so far.
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
    The usage of a budget, in its unit's smallest part.
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
    Cache look-ups since the workers started. A hit took no I/O; shares are null without look-ups.
    """

    hit_rate: float | None
    cache_hits: int
    cache_misses: int
    total_loads: int
    evictions: int
    load_efficiency: float | None


class CalledFunction(BaseModel):
    """
    The function that a message calls, and its arguments as JSON.
    """

    name: str
    arguments: str | None = ""


class CalledFunctionView(BaseModel):
    """
    The function that the model calls, and its arguments as JSON, as the model wrote them.
    """

    name: str
    arguments: str


class ChangeView(BaseModel):
    """
    The change of one part of the score between two versions, and whether it is significant.
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
    The settings of a channel.

    `url` is a webhook, `format` json (default), slack or teams; or `format` is email, and `to` has 1 to 20 addresses;
    or `format` is cloudevents, and the workspace's events go to `url`, for example an Event Grid topic, or to `queue`.
    `events` are patterns of the events it subscribes to, default `*`. `secret`, for webhooks only, is `whsec_` and 24
    to 64 bytes in base64; left out it stays unchanged, null or empty removes it. It is never returned.
    """

    url: str | None = ""
    queue: str | None = ""
    to: list[str] | None = []
    format: str | None = "json"
    events: list[str] | None = ["*"]
    secret: str | None = None


class ChatToolCall(BaseModel):
    """
    A call of a caller's tool, as in an earlier answer.
    """

    id: str
    function: CalledFunction | None = None


class ChatToolCallView(BaseModel):
    """
    A call of a caller's tool by the model.
    """

    id: str
    type: Literal["function"] = "function"
    function: CalledFunctionView


class ClientTool(BaseModel):
    """
    A tool that the caller executes.

    Attributes:
        name: Its name, as the model knows it.
        description: Its description for the model.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str | None = ""
    parameters: dict[str, Any] | None = None


class CodeInterpreter(BaseModel):
    """
    Runs Python code that the model writes, in a container at the provider.

    Attributes:
        file_ids: Files uploaded to the project that the code may read.
        memory_limit: Memory of the container; None for the provider's default.
    """

    type: Literal["code_interpreter"]
    file_ids: list[str] | None = []
    memory_limit: Literal["1g", "4g", "16g", "64g"] | None = None


class CompanionView(BaseModel):
    """
    An agent that the same user used after another one, and in what share of the other's uses, 0-1.
    """

    agent: str
    share: float


class ComparisonView(BaseModel):
    """
    The comparison of two versions of an agent.
    """

    agent: str
    base: str
    new: str
    verdict: Literal["worse", "better", "same", "too_few"]
    changes: list[ChangeView]


class CompletionTokensDetails(BaseModel):
    """
    Output tokens spent on reasoning.
    """

    reasoning_tokens: int


class Content(BaseModel):
    """
    A part of a message.
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
    A request for a conversation; `items` are refused, because a session begins with its first question.
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
    How long a workspace keeps its data, in seconds; null keeps it until it is erased by a call.

    For sessions the time starts with their end, for facts with their attempt's end; facts are deleted by whole days
    (UTC).

    Attributes:
        sessions_s: Seconds after which a session is erased with everything in it.
        transcripts_s: Seconds after which a session's messages and events, the texts of its runs (query, context,
            answer) and its conversation at the provider are deleted; its runs stay with their numbers.
        runs_s: Seconds after which a session's runs are deleted; the session stays with its counters.
        tool_calls_s: Seconds after which tool calls with their arguments are deleted, in runs and facts.
        evaluations_s: Seconds after which scores and their reasons are deleted, in runs and facts.
        facts_s: Seconds after which facts of attempts (model calls, tool calls, scores with their reasons) are deleted;
            sums of facts, from which costs, performance and reports are made, stay.
    """

    sessions_s: int | None = None
    transcripts_s: int | None = None
    runs_s: int | None = None
    tool_calls_s: int | None = None
    evaluations_s: int | None = None
    facts_s: int | None = None


class DeadLetterView(BaseModel):
    """
    A failed run that a retry may help, or a message that the queue gave up on; `id` is the run's, or a number.
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

    The model sees the reason of a rejection. `always`, only with `approve`, allows later calls without a decision until
    the agent's version changes: `call` those with the same arguments, `tool` those with any.
    """

    decision: Literal["approve", "reject", "amend"]
    reason: str | None = ""
    arguments: dict[str, Any] | None = None
    always: Literal["call", "tool"] | None = None


class DecisionView(BaseModel):
    """
    The decision, by whom and why; the hash is that of the arguments it is about.
    """

    decision: str
    by: str
    reason: str
    at: AwareDatetime
    arguments_hash: str


class DegradationStep(BaseModel):
    """
    What an agent does from a used share of its budget on: warn, use a cheaper model, ask, or stop.

    Attributes:
        at: Used share of the budget nearest to its limit from which the step applies, in percent, 1-100.
        do: `warn` sends an event; `cheaper_model` continues with `model`; `ask` waits for an approval; `stop` waits.
        model: The cheaper model; only with `cheaper_model`.
    """

    at: int
    do: Literal["warn", "cheaper_model", "ask", "stop"]
    model: str | None = None


class DeliveryView(BaseModel):
    """
    The delivery of a notification to a channel: `retrying`, `delivered` or `failed` (given up).
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
    A user of an item: an `agent`, a `template` or the workspace's `overrides`.
    """

    kind: str
    name: str


class DeploymentPriceBody(BaseModel):
    """
    The price of a deployment, in USD per million tokens; cache rates left out are those of input.
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
    One target of a route's calls.
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


class ErrorObject(BaseModel):
    """
    The details of an error.
    """

    message: str
    type: str
    param: str | None
    code: str | None


class EventView(BaseModel):
    """
    An event of a session, in an export.
    """

    number: int
    name: str
    data: dict[str, Any]
    at: AwareDatetime


class ExecutionView(BaseModel):
    """
    The execution of an approved call. `times` is more than 1 where a worker died before it recorded the result.
    """

    times: int
    started_at: AwareDatetime
    finished_at: AwareDatetime | None


class ExportItemView(BaseModel):
    """
    One resource of the workspace, in the format of its own endpoint; of a session, its export.
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
        description="The response of GET on the resource itself; for a session, of GET sessions/{id}/export.",
    )


class ExportPage(BaseModel):
    """
    Resources of the workspace, or of a user, by kind; `next` leads through all of them.
    """

    items: list[ExportItemView]
    next: str | None


class FailureView(BaseModel):
    """
    A failure: a stable code and a sentence.
    """

    code: str
    detail: str


class FeedbackBody(BaseModel):
    """
    A rating of an answer; `comment` is stored as the reason of the score, and erased with the session.
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
    A fired alert, with the rule as it was then. `resolution` is recovered, disabled or deleted.
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
    The effect of a change on agents: examined, changed, not updatable; `complete` is false while a timer goes on.
    """

    looked: int
    changed: int
    refused: int
    complete: bool


class ForecastHourView(BaseModel):
    """
    The runs expected in an hour.
    """

    start: AwareDatetime
    runs: float


class ForecastView(BaseModel):
    """
    Expected total of the month in micro-USD, with the range that contains it with a probability of 0.8.
    """

    expected: int
    low: int
    high: int
    from_days: int


class FoundryPolicy(BaseModel):
    """
    Having evaluators of Microsoft Foundry judge answers, after they are given.

    Attributes:
        model: The model deployment that the evaluators use.
        evaluators: Names of built-in evaluators, such as `relevance` and `coherence`.
        share: Share of the answers that are judged, 0-1.
    """

    model: str
    evaluators: list[str] | None = ["relevance", "coherence"]
    share: float | None = 0.1


class GroupChat(BaseModel):
    """
    A step in which several agents talk with one another.

    Without a manager they speak in turns, as in Agent Framework's group chat; a manager plans, chooses who speaks about
    what, and writes the answer, as in its Magentic orchestration. Each contribution is a run.

    Attributes:
        name: Its name in the workflow; its answer is the last contribution.
        group_chat: The agents.
        manager: The agent that leads them; None to speak in turns.
        max_rounds: Most contributions, without the manager's.
        prompt: The subject: text with `{input}` and `{steps.NAME.answer}` of earlier steps.
        timeout_s: Seconds for one contribution; None for the limit of runs.
        retries: How often an agent is asked again after a run that failed or timed out.
        when: A condition; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow then fails, or continues without the answer.
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
    An instruction for one case.

    Attributes:
        when: The case, to be read after "When".
        then: What to do in it.
        priority: 0-100; if two guidelines conflict, the higher one wins.
        category: A topic such as `safety`; None for none.
    """

    when: str
    then: str
    priority: int | None = 50
    category: str | None = None


class HandoffBody(BaseModel):
    """
    The handoff of a session to a member, or to any with a specialization; else to one that is free.

    `preserve_full_context` gives the next agent the whole history, or none of it; default the team's setting.
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
    Numbers of handoffs: of all teams, by team, and by cause.
    """

    total: int
    by_team: dict[str, int]
    by: dict[str, int]


class HandoffPolicy(BaseModel):
    """
    How sessions are handed over.

    Attributes:
        context: What the next agent gets of the conversation: `full` history, the `last` runs, a `summary` by the model
            that hands over or by the summarizer, or `none`. The run's query and the handoff's note are always included.
        last_turns: Number of runs that `last` includes.
        summarizer: Agent, without tools, that writes the `summary` for the next agent if no model that handed over gave
            one. None for no such agent: the next one then gets the last runs.
        max_hops: Most handoffs of one run.
        max_returns: How often one run may return to the same member.
    """

    context: Literal["full", "last", "summary", "none"] | None = "full"
    last_turns: int | None = 5
    summarizer: str | None = None
    max_hops: int | None = 5
    max_returns: int | None = 1


class HealthView(BaseModel):
    """
    Whether the app's dependencies can be reached; `warnings` do not make it unhealthy.
    """

    status: str
    components: dict[str, str]
    warnings: list[str]


class HoldBody(BaseModel):
    """
    The reason of a hold.
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
    A handoff of a run to another member of its team, the reason, and the cost with the member before.
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
    Steps of agents' audit trails in a UTC hour, such as `2026-11-21T08`.
    """

    hour: str
    steps: dict[str, int]


class Hours(BaseModel):
    """
    Working hours of people.

    Attributes:
        time_zone: An IANA name, like `Europe/Berlin`.
        days: Days of the week.
        start: Start time, like `09:00`.
        end: End time; if before `start`, on the next day.
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
    Input tokens read from the provider's cache.
    """

    cached_tokens: int
    cache_write_tokens: int | None = 0


class InsightView(BaseModel):
    """
    An insight about an agent: the rule, what the figures show, and a recommendation.
    """

    code: str
    severity: str
    cause: str
    recommendation: str
    figures: dict[str, float]


class InsightsView(BaseModel):
    """
    Insights about an agent, most severe first; empty where there is too little data.
    """

    agent: str
    first: date
    last: date
    items: list[InsightView]


class JsonRpcErrorObject(BaseModel):
    """
    The error; `data` may have the app's own `code`.
    """

    code: int
    message: str
    data: Any | None = None


class JsonRpcErrorView(BaseModel):
    """
    A JSON-RPC error; `id` is that of the request, null where it could not be read.
    """

    jsonrpc: Literal["2.0"] = "2.0"
    id: str | int | None = None
    error: JsonRpcErrorObject


class JudgePolicy(BaseModel):
    """
    Having another agent judge answers, after they are given (LLM as a judge).

    Attributes:
        agent: The judging agent, of the same workspace. It gets the question, the answer and the rubric, and answers
            with a
            JSON object: `score` 1-5, `reason`.
        rubric: Description of a good answer.
        share: Share of the answers that are judged, 0-1.
    """

    agent: str
    rubric: str | None = (
        "It answers the question, is correct as far as can be told, complete, and no longer than needed."
    )
    share: float | None = 1.0


class LastDueView(BaseModel):
    """
    The latest time that a schedule was due: the run of it, or the error code why there is none.
    """

    due_at: AwareDatetime
    run_id: str
    error: str | None


class LimitBody(BaseModel):
    """
    The most that may be spent in a period.

    Attributes:
        unit: What is limited: tokens (input and output), usd, model calls, or seconds of wall time.
        period: `run` and `session` have a counter for each; `day` and `month` are UTC; `total` never resets.
        limit: The limit: whole tokens and calls, USD to the micro-dollar, seconds to the millisecond.
        soft: Percentages at which an event is published, ascending.
    """

    unit: Literal["tokens", "usd", "calls", "seconds"]
    period: Literal["run", "session", "day", "month", "total"]
    limit: float | str
    soft: list[int] | None = [50, 80, 100]


class LimitUseView(BaseModel):
    """
    The usage of a limit, and its level; more than the limit where that was lowered.
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
    Limits that end or pause a session, and of the history given to a model; null for the default.
    """

    max_turns: int | None = None
    max_duration_s: float | None = None
    idle_timeout_s: float | None = None
    max_history_tokens: int | None = None
    max_failures: int | None = None


class LoadForecastView(BaseModel):
    """
    The forecast load of the coming day: the mean of the same hour of the week over up to four weeks.

    `error` is that of the same method over the last week, as a share of the load; null with less than two weeks of
    data.
    """

    hours: list[ForecastHourView]
    peak: float
    error: float | None
    weeks: int


class MadeView(BaseModel):
    """
    Number of versions made of an agent in the hours shown.
    """

    agent: str
    versions: int


class Mcp(BaseModel):
    """
    Tools of a Model Context Protocol server, called by `foundry` itself, and for every other provider by this app.

    A spec holds no secrets. With `foundry`, a server that needs any is reached through a connection of the project;
    else, and to list its tools, `headers_setting` names the app setting that has them.

    Attributes:
        server_label: The server's unique name in the spec.
        server_url: Its URL; can be given as `url`.
        project_connection_id: The project's connection to it; only with `foundry`.
        server_description: Its description for the model; only with `foundry`.
        allowed_tools: Names of the only tools to offer; empty for all.
        headers_setting: The app setting with the headers to send and the origin to send them to. With `foundry`, it is
            only for listing the tools, which the app does.
        approval: When a call needs an approval; None for never. With any other value, `foundry` asks the app before
            each call.
        timeout_s: Time limit of a call, in seconds; None for 30. Not with `foundry`.
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
    Mean score of one part, 0-100.
    """

    part: str
    mean: float
    count: int


class MeasuredView(BaseModel):
    """
    Actual saving in the week after a change, compared with the week before; null where not computable.
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
    The status of a member; `answer_s` is the mean wait for an answer of its people, in seconds.
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
    An agent or team, as a model.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str | None = "agent"


class ModelList(BaseModel):
    """
    All agents and teams.
    """

    object: Literal["list"] = "list"
    data: list[Model]


class ModelPriceBody(BaseModel):
    """
    A price in USD per million tokens; cache rates left out are those of input.
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
    A tool of an MCP server; its schema is JSON text, empty where the server's tools were too large to store.
    """

    name: str
    description: str
    parameters_json: str


class OptimizationBody(BaseModel):
    """
    A request for savings proposals.

    Attributes:
        agent: The agent; default all.
        pool: Only agents of this pool; not with `agent`.
        days: Days of facts to use, including today.
        target_cost_reduction: By how many percent to lower the spending; default as much as possible.
        preserve_performance: Whether to leave out proposals that may lower scores or cut off answers.
        aggressive: Whether to include proposals with less evidence or more risk.
    """

    agent: str | None = None
    pool: str | None = None
    days: int | None = 14
    target_cost_reduction: float | None = None
    preserve_performance: bool | None = True
    aggressive: bool | None = False


class OriginView(BaseModel):
    """
    The origin of a value: kind, name and version of the item (version 0 for built-in ones).
    """

    kind: str
    name: str
    version: int


class OtherTermsBody(BaseModel):
    """
    A what-if request.

    Attributes:
        kind: `prices` recomputes costs at other prices, `budget` applies a limit, `ttl` another idle time before agents
            are
            retired, `cache` another size of the agent cache, `pool` other capacity limits.
        agent: The agent; default all.
        days: Number of days, including today.
        model: For `prices`: price all calls as this model; default their own.
        prices: For `prices`: prices by model name, instead of the workspace's.
        unit: For `budget`: the unit.
        period: For `budget`: when the counter resets.
        limit: For `budget`: the limit per period; USD, or whole tokens, calls or runs.
        idle_after_s: For `ttl`: idle time in seconds after which an agent is retired.
        capacity: For `cache`: agents held per worker.
        workers: For `cache`: number of workers.
        concurrency: For `pool`: concurrent runs.
        tokens_per_minute: For `pool`: tokens of runs that begin within a minute.
        requests_per_minute: For `pool`: model calls of runs that begin within a minute.
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
    A call of a caller's tool by the model.
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
    Output tokens spent on reasoning.
    """

    reasoning_tokens: int


class Parameters(BaseModel):
    """
    Parameters of a trigger's condition.

    Attributes:
        keywords: For `keyword_detected`: one of these words is in the query (whole words, ignoring case).
        capability: For `capability_requested`: the run's metadata has it as `capability`, or the query names it.
        below: For `quality_below`: the answer's score, 0-100, is below this. For `sentiment_below`: the query's
            sentiment (`llmops.evaluation.sentiment`, 0-100, 50 is neutral) is below this.
        check: For `quality_below`: the check whose score counts; None for the overall score.
        count: For `failures`: this many attempts of the run failed. For `turns_above`: the member has had more runs
            than this.
        usd: For `cost_above`: the run has cost more than this, in USD.
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
    The person at the inbox; only where sign-in does not identify them, as with a function key.
    """

    by: str | None = None


class PersonWaitView(BaseModel):
    """
    A session with a person: since when, due when, and claimed by whom.
    """

    since: AwareDatetime
    due: AwareDatetime | None
    level: int
    claimed_by: str
    claimed_at: AwareDatetime | None


class Personality(BaseModel):
    """
    How an agent speaks, whatever the subject.

    Attributes:
        description: Its purpose, shown in lists.
        formality: 0 casual - 100 formal. For all traits, None and values near 50 add no instruction.
        verbosity: 0 terse - 100 thorough.
        helpfulness: 0 answers only what is asked - 100 anticipates what is needed next.
        creativity: 0 sticks to the established - 100 looks for the unusual.
        empathy: 0 keeps to the matter - 100 attends to how the user feels.
        modifiers: More sentences about how it speaks.
        response_templates: The wording to use, by situation.
        prohibited: What it must never do; each is read after "Never".
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
    A personality; `builtin` ones come with the app.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Personality | None


class PinView(BaseModel):
    """
    The declaration that a session is pinned to, and the fingerprint of the version made from it.
    """

    revision: int
    fingerprint: str


class Place(BaseModel):
    """
    Approximate location of the user: ISO 3166 country, names of region and city, IANA time zone.
    """

    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class PlanApplication(BaseModel):
    """
    A request to apply a plan.

    `lines` are the numbers of the lines to apply, default all; `destructive` includes lines that delete something.
    """

    plan_id: str
    lines: list[int] | None = None
    destructive: bool | None = False


class PointView(BaseModel):
    """
    Performance in the hour or day that begins with `start`.
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
    A rule of a policy: which tool calls of which agents need an approval.

    Attributes:
        agents: Patterns of agents' names: `*` stands for any characters, `?` for one.
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
    The limits of a pool; null for unlimited. At least one is given.

    Attributes:
        concurrent_runs: Runs carried out at the same time.
        open_sessions: Open sessions.
        tokens_per_minute: Input and output tokens of the calls that begin within any 60 seconds.
        requests_per_minute: Model calls that begin within any 60 seconds.
    """

    concurrent_runs: int | None = None
    open_sessions: int | None = None
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None


class PoolLimitsView(BaseModel):
    """
    The limits of a pool; null for unlimited.
    """

    concurrent_runs: int | None
    open_sessions: int | None
    tokens_per_minute: int | None
    requests_per_minute: int | None


class PoolUsageView(BaseModel):
    """
    The usage of a pool: what workers hold, plus what was used within the last minute.
    """

    level: Literal["ok", "warning", "critical"]
    limits: list[LimitUseView]
    by_agent: list[AgentUseView]
    workers: int
    waiting: int
    longest_wait_s: float


class Preferences(BaseModel):
    """
    A user's preferences; None leaves a matter to the agent.

    Attributes:
        language: Language of answers, as a BCP 47 tag like `de` or `pt-BR`.
        verbosity: How long answers are.
        formality: How to address the user.
        format: Format of answers.
        expertise: What the user can be expected to know.
        units: Units of measures.
        time_zone: The user's IANA time zone, like `Europe/Zurich`.
        note: Other wishes in the user's own words; at most MAX_NOTE characters.
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
    The preferences of a user.
    """

    user_id: str
    version: int
    preferences: Preferences


class PreloadBody(BaseModel):
    """
    Which agents to preload.

    Attributes:
        agents: At most 100 names; null to let the loader choose.
    """

    agents: list[str] | None = None


class PreloadView(BaseModel):
    """
    The agents to be preloaded, and those of them that this worker now holds.
    """

    asked: list[str]
    held: list[str]


class PreloadingView(BaseModel):
    """
    Preloaded agents, and how many of them were used.
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
    An error (RFC 9457); `code` is stable, `errors` lists the invalid fields.
    """

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[dict[str, Any]] | None = []


class PromptTokensDetails(BaseModel):
    """
    Input tokens read from the provider's cache.
    """

    cached_tokens: int
    cache_write_tokens: int | None = 0


class ProposedChangeView(BaseModel):
    """
    The change of a proposal.

    Attributes:
        fields: Fields of the agent with their new values.
        call: The API call that makes the change; null where people have to.
        undo: The API call that undoes it; null where people have to.
        advice: What people have to do; null where there is a call.
        diff: A change of a file or of the app's settings, as a unified diff; null where there is a call.
    """

    fields: dict[str, Any]
    call: ApiCallView | None
    undo: ApiCallView | None
    advice: str | None
    diff: str | None


class ProviderHealthView(BaseModel):
    """
    The provider's state of an agent, as last observed.

    `verified_at` is when its version was last seen unchanged; `status` is `ok`, `throttled`, `unavailable` or
    `failing`, and `trouble` the code of the provider's last failure, which has lasted since `trouble_since`.
    """

    status: str
    looked_at: AwareDatetime
    verified_at: AwareDatetime | None
    trouble: str
    trouble_since: AwareDatetime | None


class ProviderVersionView(BaseModel):
    """
    A version of an agent at its provider.
    """

    name: str
    version: str
    id: str
    created_at: AwareDatetime


class Push(BaseModel):
    """
    Where the states of a run are pushed to, as clients of the Agent2Agent protocol set it.

    Attributes:
        url: The webhook; as secret as a callback's.
        id: What the configuration is known by; empty for the task's id.
        token, authorization: Headers of the notifications (X-A2A-Notification-Token, Authorization); secrets.
        format: `a2a` or `a2a-0.3`: in which version's form.
    """

    url: str
    id: str | None = ""
    token: str | None = ""
    authorization: str | None = ""
    format: str | None = "a2a"


class QuantilesView(BaseModel):
    """
    Mean and quantiles (50, 95 and 99 %) in ms, with a relative error of at most 2 %; null without values.
    """

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class RangeView(BaseModel):
    """
    Maximum and mean of an hour's samples, one per minute.
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
        "facts": "Cost, duration and outcome of attempts, for accounting; with run and session, without user.",
        "scores": "Scores of the answers by agent and version; without reasons, which could quote texts.",
        "events": "The workspace's events, until they expire; without texts and user.",
        "budgets": "The user's total spend, where a budget of the user counts it; not by session.",
    }


class RedrivenView(BaseModel):
    """
    A run that was put back on the queue, or a request for a workflow, which has no `agent`.
    """

    run_id: str
    session_id: str
    agent: str | None


class RemainingView(BaseModel):
    """
    The remaining quota a deployment reported, and until when the report is valid.
    """

    requests: int | None
    tokens: int | None
    until: AwareDatetime


class ReplayView(BaseModel):
    """
    The simulated result of a cache policy.
    """

    policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]
    hit_rate: float | None
    hits: int
    evictions: int


class ReplayedHistoryView(BaseModel):
    """
    The result of a what-if request.

    Attributes:
        kind: The kind requested.
        first: First UTC day examined.
        last: Last UTC day examined.
        records: Number of facts, or uses of agents, replayed.
        whole: Whether these were all; else the latest of each day.
        figures: Results by name (docs/savings.md); money in micro-USD, times in ms, shares 0-1.
        groups: The same by model, agent or policy, where useful.
        assumptions: The assumptions, as sentences.
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
    A person's answer to the named run, so that it can be repeated safely, or to the one that has waited longest.
    """

    by: str | None = None
    text: str
    run_id: str | None = None


class ResourceHourView(BaseModel):
    """
    Resource use in an hour: number of workers and highest shares; of pools the shares by limit.
    """

    start: AwareDatetime
    workers: dict[str, RangeView]
    pools: dict[str, dict[str, RangeView]]


class ResourcesView(BaseModel):
    """
    Agents by current state, and the versions kept for them at providers.
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
    Format of the agent's answers.

    Attributes:
        name: Name of the format, for the model.
        json_schema: A JSON Schema of type `object`; at most 64 KiB, 10 levels and 5,000 properties.
        description: Purpose of the format; None for none.
        strict: Whether the model must follow the schema exactly. Then each object has all its properties in `required`,
            and `additionalProperties` false.
    """

    name: str
    json_schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = True


class ResponseUsage(BaseModel):
    """
    Tokens of all model calls of the response.
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
    What one round deleted; `complete` is false where the next round continues.
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
    The versions of a retired agent: disabled and archived now, deleted by prune after the grace period.
    """

    archived: bool
    delete_after: AwareDatetime | None
    versions: int


class ReturnBody(BaseModel):
    """
    The return of a session by a person: to a member, or else to the agent that had it, with a note.
    """

    by: str | None = None
    target: str | None = None
    reason: str | None = "the person has given it back"
    facts: list[str] | None = []
    open_questions: list[str] | None = []


class RollBack(BaseModel):
    """
    The version to roll back (or forward) to, or the revision of the declaration; one of the two.
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
    Why a run or its last attempt failed: a stable code, and a sentence without prompts or secrets.
    """

    code: str
    detail: str


class Runaway(BaseModel):
    """
    When a run of the agent counts as runaway and fails; replaces the app's settings.

    Attributes:
        same_tool_calls: Most calls of one tool with the same arguments in one attempt; 0 for no limit.
        usd_per_minute: Most that a run may spend within a minute, in USD; 0 for no limit.
    """

    same_tool_calls: int | None = None
    usd_per_minute: float | None = None


class SavingView(BaseModel):
    """
    Estimated saving over 30 days in micro-USD, with its range.
    """

    low: int
    likely: int
    high: int


class ScalingApplyBody(BaseModel):
    """
    The recommendation to apply.

    Attributes:
        id: Its id, from GET scaling/recommendation.
    """

    id: str


class Score(BaseModel):
    """
    The evaluation of an answer.

    Attributes:
        overall: Weighted mean of the parts, 0-100.
        parts: Result of each check, 0-100; a check that does not apply is left out.
        reasons: Reasons by check, including checks that failed.
        pending: Judges whose results are still to come.
    """

    overall: int
    parts: dict[str, int]
    reasons: dict[str, str] | None = None
    pending: list[str] | None = []


class SectionView(BaseModel):
    """
    A part of the instructions, and its origin.
    """

    text: str
    origins: list[OriginView]


class SessionCountsView(BaseModel):
    """
    Sessions open now; those started, and those ended by reason, in the days asked for.
    """

    open: int
    started: int
    ended: int
    ended_by_reason: dict[str, int]


class ShareBody(BaseModel):
    """
    An agent's part of each limit, 0-1.

    Attributes:
        min: Reserved for it: within this share it comes before all others.
        max: The most it may use.
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
    What the `offline` provider simulates besides answering: slow, failing and tool-calling agents.

    Attributes:
        latency_ms: Duration of each model call, in milliseconds.
        stream_chunk_ms: Pause before each piece of a streamed answer, in milliseconds.
        fail_first: How many attempts of each run fail before one succeeds, by the attempt's number.
        fail_with: How they fail: `throttled` and `unavailable` are retriable, `rejected` and `content_filter` are not.
        fail_creates: How many attempts to create the agent fail with `unavailable` before one succeeds.
        call_tool: Name of a tool in `tools`, a handoff tool (`handoff_to_…`) or a client tool that the model calls once
            before it answers; None for none.
        reply: Text of the answer; None for the provider's own.
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
    The scale of the app: always-ready instances by group, most instances, and concurrent HTTP requests of each.
    """

    always_ready: dict[str, int]
    maximum_instances: int
    http_concurrency: int | None
    memory_mb: int


class SlaPolicy(BaseModel):
    """
    Service level of an agent; fields left out take the app's setting.

    Attributes:
        latency_ms: Time from the run's acceptance within which 95 % of the answers must come, in milliseconds.
        availability: Share of the runs that must be answered, 0-1.
    """

    latency_ms: int | None = None
    availability: float | None = None


class SlaView(BaseModel):
    """
    A service level, and whether it was met; null where there were no runs.

    It is met when the share `availability` of the runs was answered, and 95 % of the answers came within `latency_ms`.
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

    Counted at an estimate are `unsettled_calls`, whose usage is unknown because worker or connection died, and
    `unmetered_calls`, which the provider answered without usable usage.
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
    A call that needs no approval while the agent has this version; an empty hash stands for any arguments.
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
        when: A CEL condition over `input` and `steps`; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow then fails, or continues without the answer.
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
    The results of a strategy's workers in the last day.

    The true hit rate is between `least` and `most` with 95 % confidence: where these ranges overlap, two strategies
    cannot be told apart yet.
    """

    strategy: str
    hits: int
    misses: int
    hit_rate: float
    least: float
    most: float


class StreamOptions(BaseModel):
    """
    Options of a stream; for Chat Completions, whether a chunk with the usage ends it.
    """

    include_usage: bool | None = False


class StreamView(BaseModel):
    """
    Delivery of the workspace's event stream to a channel: when last, and after a failure why and when next.
    """

    sent_at: AwareDatetime | None
    failures: int
    error: str | None
    next_at: AwareDatetime | None


class SummaryView(BaseModel):
    """
    A period and its spend; `complete` once it is over.
    """

    period: PeriodView
    complete: bool
    total: SpendView


class Task(BaseModel):
    """
    A request to an agent, and what to do if it fails.

    Attributes:
        agent: The agent; `team:NAME` for the member of a team that the query is routed to, which can be a person.
        prompt: The query: text with `{input}` and `{steps.NAME.answer}` of earlier steps.
        timeout_s: Seconds until the answer, including the wait for a worker; None for the limit of runs.
        retries: How often to ask again after a run that failed or timed out.
        fallback: The agent, or `team:NAME`, to ask once after that; None for none.
    """

    agent: str
    prompt: str | None = "{input}"
    timeout_s: int | None = None
    retries: int | None = 0
    fallback: str | None = None


class TeamRouteView(BaseModel):
    """
    Handoffs from one member to another, and how many came straight back.
    """

    source: str
    target: str
    handoffs: int
    returned: int


class TeamRunView(BaseModel):
    """
    A run within its team: why its first member was chosen, its handoffs, and who answered.

    `by` is the person who answered; empty for an agent.
    """

    team: str
    reason: str
    hops: list[HopView]
    by: str


class TeamStatusView(BaseModel):
    """
    The status of a team; handoffs and answers are counted from `since`, in whole UTC days.
    """

    team: str
    since: AwareDatetime
    members: list[MemberStatusView]
    conversations: int
    waiting_for_member: int
    handoffs: int
    by: dict[str, int]
    escalations: int
    routes: list[TeamRouteView]
    insights: list[str]


class ThresholdsBody(BaseModel):
    """
    Used shares (0-1) from which a pool is in a warning state; it is critical halfway between there and 1.

    Attributes:
        memory: Of workers' memory; workers serve all pools, so the lowest threshold of any pool applies.
        cpu: Of workers' CPU, likewise.
        sessions: Of concurrent runs and open sessions.
        tokens: Of tokens and requests per minute.
    """

    memory: float | None = 0.9
    cpu: float | None = 0.85
    sessions: float | None = 0.95
    tokens: float | None = 0.9


class ThresholdsView(BaseModel):
    """
    Used shares from which a pool is in a warning state, 0-1.
    """

    memory: float
    cpu: float
    sessions: float
    tokens: float


class TimerRunView(BaseModel):
    """
    The result of running a timer.

    Attributes:
        name: The timer's name.
        done: What it did, as a sentence.
    """

    name: str
    done: str


class TimerView(BaseModel):
    """
    A timer of the app.

    Attributes:
        name: Its name.
        setting: The setting with its schedule.
        schedule: Its schedule: an NCRONTAB expression, in UTC.
        succeeded_at: Start of its last successful run; null for never.
        failed_at: Start of its last failed run; null for never.
        failure: Reason of that failure, a stable code or the type of the exception; empty for never.
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
    A front-end tool; `parameters` is JSON Schema.
    """

    name: str
    description: str | None = ""
    parameters: dict[str, Any] | None = None


class ToolCall(BaseModel):
    """
    A call of a front-end tool, as in an earlier answer.
    """

    id: str
    function: CalledFunction


class ToolCallView(BaseModel):
    """
    A call of a caller's tool by the model; `arguments` is JSON, as the model wrote it.
    """

    id: str
    name: str
    arguments: str


class ToolResult(BaseModel):
    """
    The result of a call: the call's id, and the text for the model.
    """

    call_id: str
    output: str


class TriggerBody(BaseModel):
    """
    A rule that asks for one instance more or less than the forecast.

    Attributes:
        metric: The metric; pool_waiting is the number of requests waiting for capacity in pools.
        condition: How the metric compares with the threshold.
        threshold: The threshold.
        duration_s: How long the condition must hold, in seconds; checked once a minute.
        action: The change to make.
        priority: Where several rules hold, the one with the highest priority counts.
    """

    metric: Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float | None = 60
    action: Literal["scale_up", "scale_down"] | None = "scale_up"
    priority: int | None = 1


class TriggerView(BaseModel):
    """
    A rule that asks for one instance more or less than the forecast.
    """

    metric: Literal["memory_share", "cpu_share", "pool_used_share", "pool_waiting"]
    condition: Literal["gt", "gte", "lt", "lte"]
    threshold: float
    duration_s: float
    action: Literal["scale_up", "scale_down"]
    priority: int


class TryView(BaseModel):
    """
    One run of a step. `run_state` is the run's current state; null in lists, and once it is erased.
    """

    agent: str
    run_id: str
    state: Literal[
        "pending", "running", "succeeded", "failed", "skipped", "cancelled"
    ] = Field(..., description="State of a step.")
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
    A message of a session; `author` is the person who wrote an answer, empty for agents and users.

    `tool_calls` are calls of the caller's tools by the assistant; the text of a message of role `tool` contains their
    results as JSON.
    """

    role: str
    text: str
    run_id: str
    at: AwareDatetime
    author: str
    tool_calls: list[ToolCallView]


class UsageView(BaseModel):
    """
    The usage of a limit; `resets_at` is null where it never resets.
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
    What was erased of a user; `completed_at` is null while the rest is erased in the background.
    """

    user_id: str
    requested_at: AwareDatetime
    completed_at: AwareDatetime | None
    sessions: int
    runs: int


class ValueView(BaseModel):
    """
    A value by JSON pointer, and its origin.
    """

    pointer: str
    value: Any
    origin: OriginView


class VerdictView(BaseModel):
    """
    Prune's decision on one candidate; `retire` means that the whole agent goes, now or after its grace period.
    """

    agent: str
    action: Literal["keep", "retire", "delete", "trim"] = Field(
        ..., description="What prune does with an agent."
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
        search_context_size: How much of the found text the model gets; the provider's default is `medium`.
        allowed_domains: The only sites to search, like `learn.microsoft.com`; empty for all.
        user_location: Location to search from; None for none.
    """

    type: Literal["web_search"]
    search_context_size: Literal["low", "medium", "high"] | None = None
    allowed_domains: list[str] | None = []
    user_location: Place | None = None


class WhatIfView(BaseModel):
    """
    The simulated hit rates of caches for the recorded accesses; null without any.

    `clairvoyant_hit_rate` is that of the optimal policy, which knows the future; `static_hit_rate` that of the most
    used agents, held from the beginning. `suggested_capacity` is the smallest size within one percentage point of the
    hit rate of `most`. These three are for one worker.
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
    The resource use of a recently active worker: its random id, and the time of the sample.
    """

    worker: str
    at: AwareDatetime
    memory_mb: float
    memory_share: float | None
    cpu_share: float
    level: Literal["ok", "warning", "critical"]


class WorkflowRequest(BaseModel):
    """
    A request to run a workflow.

    Attributes:
        input: The text that prompts insert as `{input}`; not blank.
        user_id: Who asks; None if not given.
        metadata: At most 16 strings, returned with it and with the runs of its steps.
        priority: Priority of the runs of its steps, which determines their queue.
    """

    input: str
    user_id: str | None = None
    metadata: dict[str, str] | None = {}
    priority: Literal["normal", "high", "low"] | None = "normal"


class TriggersHttpAgentsViewsStepView(BaseModel):
    """
    A step in an agent's audit trail: what, when, which version, requested by whom (empty for the app), and why.
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
    ] = Field(..., description="Kind of an audit entry.")
    version: str
    by: str
    why: str


class TriggersHttpLoaderViewsStepView(BaseModel):
    """
    An agent to evict or preload, why, and its score, 0-1.
    """

    action: Literal["evict", "preload"]
    agent: str
    reason: Literal[
        "unused_for_long", "low_priority", "high_priority", "requested", "used_together"
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
    A step of a run: a model call, a tool call, or a wait; `ms` is null while it is not finished.

    Arguments are `[hidden]`, and results null, unless the tool exposes them; both are null once erased.
    """

    kind: Literal["model_call", "tool_call", "wait"] = Field(
        ..., description="Kind of a step."
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
    A step; agent and run are those of its last run, costs those of all its runs.
    """

    name: str
    state: Literal[
        "pending", "running", "succeeded", "failed", "skipped", "cancelled"
    ] = Field(..., description="State of a step.")
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
    The use of an agent. A use three days ago counts half in `recent_uses`; `active`: this worker holds it.
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
    The application of a proposal and its measured result; `measured` is null until `measured_from`.
    """

    at: AwareDatetime
    revision: int
    measured_from: AwareDatetime
    measured: MeasuredView | None


class ApprovalView(BaseModel):
    """
    A pending or past approval.

    `arguments` are those to call the tool with, `asked_arguments` those that the model asked for where they were
    amended; both are null once the session is erased. `approvers` may decide now; none are named for anybody in the
    workspace. `may_decide` says whether the caller may, and `decisions` what there is to decide: a call that the
    provider makes itself (kind `hosted`) cannot be amended.
    """

    id: str
    state: Literal["pending", "approved", "rejected", "expired", "withdrawn"] = Field(
        ..., description="State of an approval."
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
    decisions: list[Literal["approve", "reject", "amend"]]
    level: int
    not_requester: bool
    on_expiry: str
    requested_at: AwareDatetime
    expires_at: AwareDatetime | None
    closed_at: AwareDatetime | None
    decision: DecisionView | None
    execution: ExecutionView | None


class AssignmentView(BaseModel):
    """
    The team of a session, the member it is with (empty while none is free), the reason, and the member before.
    """

    team: str
    member: str
    reason: str
    since: AwareDatetime
    trail: list[str]
    hops: int
    person_wait: PersonWaitView | None


class BatchPage(BaseModel):
    """
    Batches, newest first.
    """

    items: list[BatchView]
    next: str | None


class BlockedRunPage(BaseModel):
    """
    Runs that wait for a budget, oldest first.
    """

    items: list[BlockedRunView]
    next: str | None


class BudgetBody(BaseModel):
    """
    A budget: one limit for each unit and period.
    """

    limits: list[LimitBody]


class BudgetView(BaseModel):
    """
    A budget.
    """

    scope: str
    limits: list[LimitView]


class Callback(BaseModel):
    """
    Where a run's end is reported: a webhook's URL, or a Service Bus queue of the app's own namespace.

    Attributes:
        url: The webhook's URL. Treated as a secret, as it is one with many receivers: it is in no log and no response.
        secret_setting: Name of the app setting with the secret that the webhook is signed with; empty for no signature.
        queue: The reply queue.
        session_id: SessionId of the reply; empty for the run's own session.
        correlation_id: CorrelationId of the reply; empty for the run's id.
        pushes: Where its states are pushed to beside that.
    """

    url: str | None = ""
    secret_setting: str | None = ""
    queue: str | None = ""
    session_id: str | None = ""
    correlation_id: str | None = ""
    pushes: list[Push] | None = Field([], validate_default=True)


class CallbackView(BaseModel):
    """
    The latest delivery of a run's callback: `retrying`, `delivered` or `failed` (given up).

    `id` is what the receiver knows it by: `webhook-id`, or the message's MessageId. `target` is a host or a queue. Of
    pushes each is one of its own.
    """

    id: str
    run_id: str
    agent: str
    target: str
    state: Literal["retrying", "delivered", "failed"] = Field(
        ..., description="The state of a delivery."
    )
    attempts: int
    status: int | None
    error: str | None
    last_at: AwareDatetime | None
    next_at: AwareDatetime | None


class Capability(BaseModel):
    """
    An ability that can be switched on for an agent: instructions and tools.

    Attributes:
        description: Its purpose, shown in lists.
        instructions: Added to the agent's instructions; at most 10,000 characters.
        tools: Tools that it adds to the agent's own.
    """

    description: str | None = ""
    instructions: str | None = ""
    tools: list[str | WebSearch | CodeInterpreter | FileSearch | Mcp] | None = Field(
        [], validate_default=True
    )


class CapabilityView(BaseModel):
    """
    A capability; `builtin` ones come with the app.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Capability | None


class ChannelView(BaseModel):
    """
    A channel: its URL, queue, or addresses, and whether its webhooks are signed.

    `stream` is set for a single channel of format cloudevents.
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
    The only choice.
    """

    index: int | None = 0
    message: AnswerMessage
    logprobs: None = Field(None)
    finish_reason: str


class ClientTools(BaseModel):
    """
    The client tools of a run request.

    Attributes:
        tools: Tools that the model may ask for, besides the agent's own.
        choice: `auto`; `none`; `required` for at least one tool; or the name of the tool that the model must call.
        results: Results of all the calls that the session's previous run ended with.
    """

    tools: list[ClientTool] | None = Field([], validate_default=True)
    choice: str | None = "auto"
    results: list[ToolResult] | None = Field([], validate_default=True)


class CompletionUsage(BaseModel):
    """
    Tokens of all model calls of the answer.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class ComponentView(BaseModel):
    """
    A component of the system; `reason` is empty when it is healthy.
    """

    name: str
    health: Literal["healthy", "degraded", "critical"] = Field(
        ..., description="Health of the system or a part."
    )
    reason: str


class CostPartView(BaseModel):
    """
    The spend of one part of a group.
    """

    name: str
    spend: SpendView


class DayMeansView(BaseModel):
    """
    The mean scores of a version on a UTC day, `overall` first.
    """

    day: date
    parts: list[MeanView]


class DeadLetterPage(BaseModel):
    """
    Failed runs in the order accepted, then messages in the order received.
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
    The users of an item.
    """

    items: list[DependentView]
    next: str | None


class DeploymentBody(BaseModel):
    """
    One target of a route's calls.

    Attributes:
        name: Its name in the route.
        provider: `openai` for any endpoint with the Chat Completions API, `azure_openai` for an Azure OpenAI resource,
            `offline` for the built-in stand-in.
        model: The model or deployment name at the endpoint.
        endpoint: Base URL including the version, or that of the Azure resource; default the app's own.
        api_version: API version of an Azure resource; default its `v1` API.
        key_setting: The app setting that holds the key, as `{"origin": "https://…", "key": "…"}`.
        identity: Whether to authenticate to an Azure host as the app, with Entra ID.
        priority: 1 is tried first; higher numbers only when no lower one can take the call.
        weight: Relative share of the sessions among deployments of the same priority.
        tpm: Tokens per minute that it takes.
        rpm: Requests per minute that it takes.
        price: Its price, where it differs from the model's own or public price.
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
    A deployment and its status, as shared between workers.

    Attributes:
        available: Whether it takes calls now.
        breaker: State of its circuit breaker: `closed` lets all calls through, `open` none, `half_open` one at a time.
        failures: Consecutive failures while the breaker is closed.
        last_failure: Error code of the last failure; null after a success.
        open_until: When the breaker becomes half-open; null while it is closed.
        throttled_until: Until when it asked to receive no calls; null without such a request.
        minute: What all workers sent to it in the current minute.
        recent: What all workers sent to it in the last five minutes.
        share: Its share of the route's calls in that time, 0-1; null without calls.
        remaining: The remaining quota it reported; null where there is enough.
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
    An error in OpenAI's format.
    """

    error: ErrorObject


class EscalationLevel(BaseModel):
    """
    A level of a team's escalation path.

    Attributes:
        level: Its number on the path, from 1.
        target: The member that gets the session.
        target_specialization: Instead of a target, the specialization of members that get it.
        condition: When an agent's session reaches this level, like a trigger's condition. None for a level that is
            reached by waiting: by sessions that no person has claimed within `after_s`.
        parameters: Parameters of the condition.
        after_s: Seconds that the previous level has; at the first one, the person first asked.
        notification_channels: Channels to notify; empty for every channel that wants the event.
        auto_escalate: Whether the session is moved; if not, only the channels are notified.
        requires_approval: Whether one of the team's `approvers` has to approve that it is moved.
    """

    level: int
    target: str | None = None
    target_specialization: str | None = None
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
        | None
    ) = None
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
    after_s: int | None = 900
    notification_channels: list[str] | None = []
    auto_escalate: bool | None = True
    requires_approval: bool | None = False


class EvaluationPolicy(BaseModel):
    """
    How an agent's answers are evaluated; fields left out are not checked.

    Attributes:
        share: Share of the answers that are scored, 0-1; None for the app's setting.
        topics: Topics that every answer should mention, in addition to a run's own `expected_topics`.
        citations: Number of different sources an answer should cite.
        structure: Elements an answer should have.
        min_words: Fewest words of an answer.
        max_words: Most words of an answer.
        checks: Names of extensions' checks (`lifecycle.evaluation.checks`), in addition to the built-in ones.
        on_truncated: What happens to a run whose answer was cut off (`texts.CUT`): `accept` keeps the answer, with a
            part
            `complete` of 0 in its score; `fail` fails the run.
        weights: Weights of parts in the overall score; 1 where not given, 0 to leave a part out.
        judge: An agent that judges answers.
        foundry: Evaluators of Microsoft Foundry; they need the app's Foundry project.
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
    Performance of some runs. Shares are 0-1, and null where undefined.

    `latency_ms` is the time from a run's acceptance to its answer, `model_ms` that of the attempt's model calls,
    `queue_ms` the wait for the first attempt. `cost_per_run_micro_usd` is also null when a call has no known price.
    `codes` counts failed attempts by error code.
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
    Fired alerts, newest first.
    """

    items: list[FiringView]
    next: str | None


class HandoffTrigger(BaseModel):
    """
    When a member hands a session over, and to which member.

    Attributes:
        name: Unique in its member.
        condition: The condition's kind; `extension:name` for one of an extension.
        parameters: Parameters of the condition.
        target: The member to hand over to.
        target_specialization: Instead of a target, the specialization of members to hand over to.
        priority: 0-100; if several triggers fire, the highest wins.
        active: Whether the trigger is evaluated.
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
    An item of a response's input: a message, a call of a caller's tool, or its result; others are refused.
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
    The life cycle of a workspace's agents: in total, in the last 24 hours, and at the latest drift check.
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
    The performance of a cache.
    """

    cache_performance: CachePerformanceView
    agent_status: AgentStatusView
    preloading: PreloadingView


class McpServerView(BaseModel):
    """
    The tools an MCP server offered when the agent was declared, and the differences now, by tool.

    `called_by` says who calls it in runs. With `state` `unknown`, `problem` says why the app does not know: it cannot
    reach the server, or could not when the agent was declared, or knows no URL of it.
    """

    server_label: str
    called_by: Literal["app", "provider"]
    state: Literal["same", "changed", "unknown"]
    tools: list[OfferedToolView]
    changes: dict[str, Literal["added", "removed", "changed"]]
    problem: str


class Member(BaseModel):
    """
    A member of a team: an agent, a person or a rota.

    Attributes:
        name: Unique in the team; models hand over with the tool `handoff_to_{name}`.
        agent: The agent; None for people.
        people: The people who answer, by their sign-in names; one is a person, several a rota. Empty for an agent.
        role: `primary` gets sessions by default; `backup` gets those that no other member is free for.
        specialization: Its field of work.
        priority: Lower numbers are chosen first among otherwise equal members.
        availability: Whether it gets sessions at present.
        max_workload: Most sessions of the team that it may have open.
        capabilities: Its capabilities, as words that a query may mention.
        handoff_triggers: When it hands over automatically.
        description: Its description for the other members' models.
        channel: For people: the notification channel; None for every channel that wants the event.
        hours: For people: their working hours; None for always.
        metadata: The owner's strings.
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
    A pool and its usage.
    """

    pool: str
    usage: PoolUsageView


class NewSession(BaseModel):
    """
    A session to start: its agent, its user, and its id if the caller chooses it.
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
    An optimization without its proposals.

    Attributes:
        whole: Whether all facts of these days were read; else the latest of each day.
        spent_micro_usd: Their cost.
        projected_micro_usd: That cost projected to 30 days.
        projected_savings: Estimated saving of the recommended proposals over 30 days; an upper bound where several
            concern
            one agent.
        target_reached: Whether that reaches the target.
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
    What was done, or with `dry_run` would be done, to this worker's cache, in order.
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
    A workspace's settings for all its agents; agents' own settings win over them.
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
    Settings of a workspace for all its agents; version 0 without content before the first change.
    """

    name: str
    version: int
    builtin: bool
    updated_at: AwareDatetime | None
    followed: FollowedView | None = None
    content: Overrides | None


class Parallel(BaseModel):
    """
    A step that asks several agents in parallel.

    Attributes:
        name: Its name in the workflow; its answer is the aggregator's, or all branches' answers one after the other.
        parallel: Its branches.
        aggregator: The agent that makes one answer from the branches' answers, which its prompt uses; None for none.
        when: A condition; the step is skipped if it is false. None for always.
        on_failure: Whether the workflow fails if the aggregator fails, or continues without the answer.
    """

    name: str
    parallel: list[Step]
    aggregator: Task | None = None
    when: str | None = None
    on_failure: Literal["fail", "continue"] | None = "fail"


class PersonalityPage(BaseModel):
    """
    Personalities by name, or the versions of one, newest first; a version without content is a deletion.
    """

    items: list[PersonalityView]
    next: str | None


class PlanLineView(BaseModel):
    """
    A difference: the reason, what applying it would do, and the outcome.

    `number` is its position in the plan, from 0.
    """

    number: int
    agent: str
    kind: Literal[
        "create",
        "update",
        "adopt",
        "recreate",
        "changed",
        "orphan",
        "duplicate",
        "tools",
    ] = Field(..., description="Kind of a difference.")
    action: Literal["ensure", "renew", "sweep", "remove", "none"] = Field(
        ..., description="The action that applying a line takes."
    )
    destructive: bool
    provider: str
    why: str
    would: str
    revision: int
    versions: list[ProviderVersionView]
    outcome: Literal[
        "planned", "skipped", "remark", "sent", "pending", "done", "failed", "overtaken"
    ] = Field(..., description="State of a plan's line.")
    detail: str


class PlanView(BaseModel):
    """
    The differences between registry and providers.

    `counts` are the lines by kind, `total` all of them; `unchanged` counts agents without differences; `unseen` are
    providers that could not be read, with the error code. `applied` counts how often the plan, or some of its lines,
    was applied; `outcome` of each line is the result.
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
    A workspace's approval policy. Agents' specs can add to it, but not weaken it.

    Attributes:
        rules: Which calls need an approval; the first rule that matches a call sets its terms.
        standing: Whether standing rules may waive approvals that these rules demand.
    """

    rules: list[PolicyRule] | None = Field([], validate_default=True)
    standing: bool | None = False


class PoolBody(BaseModel):
    """
    A pool.

    Attributes:
        agents: Its agents by name.
        labels: Its agents by label: those that have all of these labels and that no pool names.
        limits: Limits of all its agents together.
        shares: Parts of single agents, by agent.
        strategy: How much of an unused reserve others may use: aggressive all, balanced half, conservative none.
        when_full: What happens when the pool is full: wait in order of priority, refuse with 429, or spill over.
        spill_to: The pool used instead, where when_full is spill.
        aging_s: How many seconds longer a run of normal priority must have waited to come before one of high priority.
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
    A pool and its usage; `usage` is null in lists.
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
    A proposal to lower costs; money in micro-USD, shares 0-1.
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
    What prune decided, and whether it was carried out.
    """

    dry_run: bool
    items: list[VerdictView]


class RecommendationView(BaseModel):
    """
    The recommended number of instances and its reasons, by Little's law: runs per second times seconds per run.

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
    Periods with spending, newest first.
    """

    items: list[SummaryView]
    next: str | None


class ReportView(BaseModel):
    """
    The spend of a period, compared with the previous one, by day, agent, model and user.

    `budgets` are the first 50, the workspace's own before others; `GET usage` has all.
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
    budgets_left_out: int
    updated_at: AwareDatetime


class ResourceHistoryView(BaseModel):
    """
    Resource use by hour.
    """

    items: list[ResourceHourView]


class ResourceUseView(BaseModel):
    """
    The current resource use, and the worst level of any worker or pool.
    """

    level: Literal["ok", "warning", "critical"]
    workers: list[WorkerUseView]
    pools: list[NamedUsageView]


class ResponseBody(BaseModel):
    """
    A request of Responses. The response header `X-Ignored-Parameters` lists parameters without effect.
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
    The policy's decision on a session, or on a part of it with a period of its own, and the reason.
    """

    part: Literal[
        "sessions", "transcripts", "runs", "tool_calls", "evaluations", "facts"
    ] = Field(..., description="A kind of data with its own retention time.")
    session_id: str
    erase: bool
    reason: str


class RetentionView(BaseModel):
    """
    What the policy would delete (at most 1,000 sessions are listed), or what it deleted.

    `days` are those whose facts would be deleted, by part.
    """

    dry_run: bool
    sessions: list[RetentionVerdictView] | None = Field([], validate_default=True)
    days: dict[str, list[date]] | None = None
    receipt: RetentionReceiptView | None = None


class RouteBody(BaseModel):
    """
    A route.
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
    A route, and the status of its deployments.
    """

    name: str
    deployments: list[DeploymentStatusView]


class RunInput(BaseModel):
    """
    A request to run an agent: `threadId` is a session, and the same `runId` in it is the same run.

    Front-end tools are passed to agents whose spec has `client_tools`. Context and state are ignored; the response
    header `X-Ignored-Parameters` lists what was.
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
    A request to run an agent or team.

    Attributes:
        query: The message to the agent; blank only if `client_tools` has results.
        session_id: The session to continue, or the id of a new one; None starts one with a generated id.
        user_id: Who asks; None if not given.
        expected_topics: What a good answer mentions; used for its score.
        context: What the answer must be grounded in; sent to the model with the query.
        metadata: At most 16 strings, returned with the run.
        stream: Whether the answer is published as `run.delta` events while the model writes it.
        pin_version: Whether a session that this run starts keeps the agent as declared now.
        priority: The session's priority; None for the session's own, or normal if this run starts it.
        callback: Where the run's end is reported, by webhook or to a reply queue; None for nowhere.
        client_tools: The caller's tools, and the results of the calls that the previous run ended with; None for none.
            Only allowed if the agent's spec has `client_tools`.
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
    A run: its query, state, and answer.

    `team` is null unless a team was asked; `workflow_run_id` is the workflow run that it is a step of, null for none.
    `tool_calls` are calls of the caller's tools that it ended with instead of an answer.
    """

    id: str
    agent: str
    session_id: str
    workflow_run_id: str | None
    user_id: str | None
    query: str
    state: Literal[
        "queued", "running", "waiting", "succeeded", "failed", "cancelled"
    ] = Field(..., description="State of a run.")
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
        description="Priority of a session: the queue of its runs, and so which workers take them.",
    )
    team: TeamRunView | None
    created_at: AwareDatetime
    started_at: AwareDatetime | None
    finished_at: AwareDatetime | None


class ScalingAppliedView(BaseModel):
    """
    The scale of the app before and after.
    """

    before: SiteScaleView
    after: SiteScaleView


class ScalingPolicyBody(BaseModel):
    """
    The scaling policy.

    Attributes:
        min_instances: Instances for runs that are always ready.
        max_instances: Most instances recommended.
        concurrency: Concurrent runs per instance, at most maxConcurrentSessions of host.json.
        up: Target utilisation of the slots at a peak, 0-1.
        down: Utilisation of always-ready instances below which there are to be fewer, 0-1.
        cooldown_s: Shortest time between two changes, in seconds.
        predictive: Whether to plan for the forecast of the coming day; else for the load of the last hour.
        triggers: Further rules.
        http_concurrency: Concurrent HTTP requests per instance; left out, it is unchanged.
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
    The scaling policy.
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
    The agent, the query and the times: `cron` is an NCRONTAB expression, evaluated in `time_zone`.

    `missed` determines what happens with times at which nothing could be submitted: `skip` drops them, `latest` catches
    up on the last one, `all` on up to 100.
    """

    agent: str
    run: RunRequest
    cron: str
    time_zone: str | None = "UTC"
    missed: Literal["skip", "latest", "all"] | None = "latest"
    paused: bool | None = False


class ScheduleView(BaseModel):
    """
    A schedule; `next_at` are the next times that it is due, empty while it is paused.

    `run` is returned without its callback, whose address may be a secret; `has_callback` says whether there is one.
    """

    name: str
    agent: str
    run: RunRequest
    has_callback: bool
    cron: str
    time_zone: str
    missed: Literal["skip", "latest", "all"] = Field(
        ...,
        description="What to do about due times that were missed because the app or the queue was down.",
    )
    paused: bool
    next_at: list[AwareDatetime]
    last: LastDueView | None
    missed_times: int
    created_at: AwareDatetime
    updated_at: AwareDatetime


class SessionView(BaseModel):
    """
    A session; `assignment` is null where it belongs to a single agent for good.
    """

    id: str
    agent: str
    user_id: str | None
    state: Literal["started", "active", "paused", "waiting", "ended", "erased"] = Field(
        ..., description="State of a session."
    )
    pause_reason: str | None
    end_reason: str | None
    limits: LimitsView
    preferences: Preferences | None
    priority: Literal["normal", "high", "low"] = Field(
        ...,
        description="Priority of a session: the queue of its runs, and so which workers take them.",
    )
    runs: int
    pending: int
    turns: int
    pin: PinView | None
    assignment: AssignmentView | None
    spend: SpendView
    created_at: AwareDatetime
    last_activity: AwareDatetime
    ended_at: AwareDatetime | None


class StandingPage(BaseModel):
    """
    Standing rules by agent; at most a thousand.
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
    The status of the system, which is that of its worst component. The uptime is that of the responding worker.
    """

    status: Literal["healthy", "degraded", "critical"] = Field(
        ..., description="Health of the system or a part."
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
        ..., description="Health of the system or a part."
    )
    components: list[ComponentView]
    at: AwareDatetime
    started_at: AwareDatetime
    uptime_s: float
    sessions_open: int | None
    runs: RunCountsView | None


class Team(BaseModel):
    """
    The spec of a team.

    Attributes:
        description: Its purpose.
        members: Its members.
        overflow: What happens to a session that no member is free for: it waits (`queue`), goes to members with role
            `backup` and waits if these are busy too (`backup`), or is refused.
        handoff: How sessions are handed over.
        escalation_path: Who gets a session that waits too long for a person, or that meets a condition.
        out_of_hours: If a person is not available: the `next` member is chosen, or the session waits.
        requires_human_approval: Whether every answer waits for an approval.
        approvers: Who may approve answers and escalations: `user:…`, `role:…`, `group:…` or `link`; empty for anybody
            in the workspace.
        idle_timeout_s: Seconds without a run after which a session ends.
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
    A version of a team; one without `team` is a deletion.
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
    What agents of one kind have in common.

    Attributes:
        extends: Name of the template that this one is based on; None for none.
        category: Its category, for searching.
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
    A template; `builtin` ones come with the app.
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
    The audit trail of an agent, newest first.
    """

    items: list[TriggersHttpAgentsViewsStepView]
    next: str | None


class TranscriptView(BaseModel):
    """
    A session with all its content.
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
    The usage of each limit.
    """

    items: list[UsageView]
    next: str | None


class VersionFiguresView(BaseModel):
    """
    Performance of one version; `version` is empty for attempts that ended before they had one.
    """

    version: str
    since: AwareDatetime
    figures: FiguresView


class VersionScoresView(BaseModel):
    """
    The mean scores of a version: in total, and by day.
    """

    version: str
    current: bool
    parts: list[MeanView]
    days: list[DayMeansView]


class WaitingView(BaseModel):
    """
    A session with a person: since when, due when, and claimed by whom.
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
    A worker that reported lately: its random id, and the time of its report.

    `strategy` is set where several are compared (LOADER_STRATEGIES), else null.
    """

    worker: str
    at: AwareDatetime
    metrics: LoaderMetricsView
    strategy: str | None


class WorkflowRunView(BaseModel):
    """
    A run of a workflow. Its cost is the sum over its steps, its score the mean of its answers' scores.
    """

    id: str
    workflow: str
    version: int
    state: Literal["running", "succeeded", "failed", "cancelled"] = Field(
        ..., description="State of a workflow run."
    )
    code: str
    failed_step: str
    cancel_requested: bool
    input: str
    user_id: str | None
    metadata: dict[str, str]
    priority: Literal["normal", "high", "low"] = Field(
        ...,
        description="Priority of a session: the queue of its runs, and so which workers take them.",
    )
    answer: str | None
    score: int | None
    spend: SpendView
    created_at: AwareDatetime
    finished_at: AwareDatetime | None
    steps: list[TriggersHttpWorkflowsViewsStepView]


class WorkflowSpec(BaseModel):
    """
    The spec of a workflow.

    Attributes:
        description: Its purpose.
        steps: Its steps, in order; its answer is that of the last step with an answer.
    """

    description: str | None = ""
    steps: list[Step | Parallel | GroupChat]


class WorkflowView(BaseModel):
    """
    A workflow and its version; a version without content is a deletion.
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
        template: Name of the template that it is based on; None for none.
        overrides: Whether the workspace's overrides apply.
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
    Performance of an agent.
    """

    agent: str
    figures: FiguresView


class AgentSpec(BaseModel):
    """
    The spec of an agent.

    Attributes:
        provider: Where the model runs: `offline` (no model, for trials and tests), `openai` (any compatible endpoint),
            `foundry` (an agent in a Microsoft Foundry project), `route` (the deployments of a route), or a chat client
            of an extension.
        model: Model or deployment name at the provider; with `route`, the route's name.
        instructions: System prompt, at most 100,000 characters.
        description: Purpose of the agent, shown in lists.
        temperature: Sampling temperature 0-2; None for the provider's default.
        top_p: Nucleus sampling 0-1; None for the provider's default.
        max_output_tokens: Most tokens of one model call; None for the provider's default.
        reasoning_effort: How long a reasoning model thinks before it answers; None for its default. Not with `offline`.
        tools: Tools that the model may call: names of function tools, MCP servers, and hosted tools
            (`lifecycle.specs.hosted_tools`), which only `foundry` has.
        context_providers: Names of the context providers of each run; extensions define them.
        response_format: JSON Schema of answers; None for text. Not with `offline`.
        simulate: What the `offline` provider simulates; only allowed there.
        labels: At most 16 key-value pairs for finding and grouping agents.
        pinned: Whether the agent is never retired when idle.
        idle_after_s: Seconds without use before the agent is retired; None for the app's setting.
        max_history_tokens: Most tokens of a session's history that the model gets, unless the session sets it; None for
            the app's setting.
        evaluation: How its answers are evaluated; None for the checks that fit every answer.
        sla: Its service level objectives; None for the app's settings.
        ladder: Its degradation steps as its budgets are used up, ascending.
        runaway: When a run counts as runaway; None for the app's settings.
        approvals: Which tool calls need an approval, in addition to the workspace's policy.
        client_tools: Whether callers may bring client tools. Not with `foundry`, whose agents have the tools of their
            version.
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
    An agent: its declaration, and its state at the provider.
    """

    name: str
    workspace: str
    state: Literal[
        "registered", "provisioning", "active", "idle", "disabled", "failed", "deleted"
    ] = Field(..., description="State of an agent.")
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
    Analytics of some UTC days. `events` counts events by name, and by their state, stage and reason.
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
    Capabilities by name, or the versions of one, newest first; a version without content is a deletion.
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
    A request of Chat Completions. The response header `X-Ignored-Parameters` lists parameters without effect.
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
    A chat completion.
    """

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage


class CostGroupView(BaseModel):
    """
    The spend of one group; `parts` where a split was requested.
    """

    name: str
    spend: SpendView
    parts: list[CostPartView]


class CostsView(BaseModel):
    """
    The spend of some days.
    """

    first: date
    last: date
    group_by: str
    total: SpendView
    groups: list[CostGroupView]


class EffectiveView(BaseModel):
    """
    The effective configuration of an agent, with the origin of every value.

    `current` says whether the agent is already declared so; `problem`, why it stays as it was. `mcp` are its
    MCP servers.
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
    Sessions with people, the longest wait first; a page can be short although there is a `next`.
    """

    items: list[WaitingView]
    next: str | None


class LoaderView(BaseModel):
    """
    The performance of the workers' agent caches.

    `policy` is that of the worker that responds. `learned_until` is the time up to which uses are in the ranking; null
    before the first. `strategies` are those compared, the best first; empty where none are.
    """

    policy: Literal["sieve", "lru", "s3-fifo", "w-tinylfu"]
    total: LoaderMetricsView
    workers: list[WorkerView]
    learned_until: AwareDatetime | None
    strategies: list[StrategyView]
    insights: list[InsightView]


class OptimizationPage(BaseModel):
    """
    Optimizations, newest first.
    """

    items: list[OptimizationSummaryView]
    next: str | None


class OptimizationView(BaseModel):
    """
    An optimization with its proposals.
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
    Versions of a workspace's overrides, newest first; one without content is a deletion.
    """

    items: list[OverridesView]
    next: str | None


class PerformancePage(BaseModel):
    """
    Agents by name, with their performance.
    """

    items: list[AgentFiguresView]
    next: str | None


class PerformanceView(BaseModel):
    """
    Performance of an agent from the first to the last UTC day: in total, by version and over time.
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
    The mean scores of an agent's versions, the latest first.
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
    Templates by name, or the versions of one, newest first; a version without content is a deletion.
    """

    items: list[TemplateView]
    next: str | None


class VersionSpecView(BaseModel):
    """
    The spec that a version was made from; where several have the label, the newest.
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
