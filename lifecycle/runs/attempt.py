"""One attempt at a run: gets the agent, calls it with the conversation, and scores the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lifecycle.approvals.gate import ApprovalPending
from lifecycle.conversations.run import Effort, Run, Stage
from lifecycle.conversations.run_transitions import Answer, given_texts, user_message
from lifecycle.conversations.session import ProviderConversation, RetainedConversation, Session
from lifecycle.conversations.session_priority import Priority
from lifecycle.registry.providers import AttemptId
from lifecycle.runs import client_tools
from lifecycle.runs.answer_drafts import Drafts, Reviewed, drafts_of, with_draft
from lifecycle.runs.answer_streaming import stream_updates
from lifecycle.runs.attempt_failures import check_whole, let_go, translated
from lifecycle.runs.attempt_settings import AttemptPolicy, Prepared, ScoreAnswer
from lifecycle.runs.call_metering import CallMeter, CallTotals, MeterPolicy, charged, estimated
from lifecycle.runs.handoff_summaries import sum_up
from lifecycle.runs.hosted_calls import HostedCalls
from lifecycle.runs.model_history import compacted, estimate, preference_messages, token_limit
from lifecycle.runs.pending_tool_calls import PendingToolCalls
from lifecycle.runs.stored_progress import Progress, dumped, loaded
from lifecycle.runs.tool_calls import ToolCalls
from lifecycle.teams.handoff_tools import brief, handoff_middleware, handoff_tools
from lifecycle.tools.context import CURRENT
from llmops.budgets.budget_rules import Amounts, BudgetBlocked
from llmops.budgets.call_budget import BudgetService, reserve_for
from llmops.budgets.waiting_run_index import BudgetWait
from llmops.capacity.admission import AdmissionRequest
from llmops.capacity.pools import PoolFull
from llmops.routing.route import PROVIDER
from llmops.spend.usage import Usage

if TYPE_CHECKING:
    from agent_framework import AgentResponse, ChatResponse, Message

    from kernel.clock import Clock
    from kernel.errors import AppError
    from lifecycle.conversations.session_store import ConversationStore, StoredConversation, Turn
    from lifecycle.loader.agent_resolver import LiveAgent
    from lifecycle.loader.use_reports import UsedAgents
    from lifecycle.registry.actor_signals import AgentSignals
    from lifecycle.runs.run_lease import RunLease
    from lifecycle.teams.handoff import RunHandoffs
    from llmops.spend.rate_store import RateStore

_OVERHEAD_BYTES = 16
_BYTES_A_TOKEN = 4


class AttemptFactory:
    """Makes attempts; has what all of them need."""

    def __init__(
        self,
        conversations: ConversationStore,
        agents: UsedAgents,
        budgets: BudgetService,
        rates: RateStore,
        score: ScoreAnswer,
        clock: Clock,
        policy: AttemptPolicy,
    ) -> None:
        self.conversations = conversations
        self.agents = agents
        self.budgets = budgets
        self.rates = rates
        self.score = score
        self.clock = clock
        self.policy = policy

    async def give_back(self, run: Run) -> None:
        """Release the reservations of a finished run's attempt whose worker died, except those of judges."""
        if await self.budgets.budgets.of(run.workspace):
            await self.budgets.free(run.workspace, run.id, run.attempt + 1, judges=False)

    async def prepare(self, stored: StoredConversation) -> Prepared:
        """Return what the run's first attempt needs, if its agent is cached; else an empty `Prepared`."""
        run, session = stored.run, stored.session
        if run is None or session is None or run.attempt or run.cancel_requested or session.assignment is not None:
            return Prepared()  # in a team, the member may hand over without a call
        live = self.agents.at_hand(run.workspace, run.agent, run.input.revision, session.pin)
        if live is None:
            return Prepared()
        most = token_limit(session, live.spec, self.policy.history_tokens)
        held = self._usable(session, most)
        first = self.first_turn(session, held)
        history = await self.turns(session, first)
        history_bytes = min(sum(len(turn.text.encode()) + _OVERHEAD_BYTES for turn in history), most * _BYTES_A_TOKEN)
        asked = sum(len(text.encode()) for text in given_texts(run))
        given = history_bytes + asked + len(live.spec.instructions.encode()) + _OVERHEAD_BYTES
        kept = held.tokens * _BYTES_A_TOKEN if held else 0
        if live.spec.provider == PROVIDER:
            return Prepared(first, session.turns, history, None, Stage.RUNNING)  # stored once its deployment is known
        usage = Usage(input_tokens=given + kept, output_tokens=live.spec.max_output_tokens or self.policy.output_tokens)
        call = estimated(await self.rates.of(run.workspace), live.spec, live.spec.model, usage, self.clock())
        if await self.budgets.admission(claim(run, live)) is not None:
            return Prepared(first, session.turns, history)  # stored once there is capacity
        if await self.budgets.of(charged(run), 1).limits():
            # Stored once it is reserved, so that budgets and run agree on whether it may have been made.
            return Prepared(first, session.turns, history, None, Stage.CHECKING_BUDGET)
        return Prepared(first, session.turns, history, call, Stage.RUNNING)

    def begin(self, lease: RunLease, signals: AgentSignals, prepared: Prepared) -> RunAttempt:
        """Return an attempt at the run that is held by the lease."""
        return RunAttempt(self, lease, signals, prepared)

    async def turns(self, session: Session, first: int) -> Sequence[Turn]:
        """Return the session's messages from number `first` on."""
        count = session.turns - first
        return await self.conversations.turns(session.workspace, session.id, first, count) if count > 0 else ()

    def first_turn(self, session: Session, held: ProviderConversation | None) -> int:
        """Return the number of the first message for the model, if a provider's conversation holds the earlier ones."""
        assignment = session.assignment
        first_of_member = assignment.first_turn if assignment else 0
        return max(held.turns if held else 0, session.turns - self.policy.history_turns, first_of_member)

    def _usable(self, session: Session, most: int) -> ProviderConversation | None:
        held = session.held
        return None if held is not None and held.tokens > most else held


class RunAttempt:
    """One attempt at a run; call `answer` once."""

    def __init__(self, maker: AttemptFactory, lease: RunLease, signals: AgentSignals, prepared: Prepared) -> None:
        self._maker = maker
        self._lease = lease
        self._signals = signals
        self._prepared = prepared
        self._conversation: str | None = None
        self._before = Progress()
        self._holding: PendingToolCalls | None = None
        self._tokens = 0
        self._meter: CallMeter | None = None
        self._meters: list[CallMeter] = []  # that of the summary first, if there is one
        self._tools: ToolCalls | None = None
        self._version = ""
        self._draft = ""
        self._drafts: Drafts | None = None
        self.handoffs: RunHandoffs | None = None

    @property
    def effort(self) -> Effort:
        """What it has done so far: its model calls, including an open one, and its tool calls."""
        return Effort(
            tuple(call for meter in self._meters for call in meter.totals.begun),
            (*(self._tools.made if self._tools else ()), *(self._holding.hosted.made if self._holding else ())),
            self._version,
            self._meter.totals.finish_reason if self._meter else "",
            self.resumed,
        )

    def wait(self, error: BudgetBlocked) -> BudgetWait:
        """Return what the run waits for, if a budget does not allow its next call."""
        metered = self._meter.totals if self._meter else CallTotals()
        need = reserve_for(metered.wanted) if metered.wanted else Amounts(calls=1)
        model = metered.wanted.model if metered.wanted else ""
        return BudgetWait(charged(self._lease.run), error.code, need, model, metered.stopped_at_percent)

    @property
    def progress(self) -> str | None:
        """The progress of the run for another attempt to continue from; None to start from the beginning."""
        return self._progress(self._holding.response if self._holding else None)

    def _progress(self, held: ChatResponse[Any] | None) -> str | None:
        metered = self._meter.totals if self._meter else CallTotals()
        if not metered.spend.calls:
            return self._lease.run.costs.progress if self.resumed else None
        if self._draft:
            return with_draft(self._before.messages, metered, self._draft, self._conversation)
        if self._conversation is not None:
            remaining = self._holding.left(metered.messages, held) if self._holding else (metered.messages, None)
            return dumped(remaining[0], self._conversation, remaining[1])
        return dumped([*self._before.messages, *metered.messages[metered.given :]], None, held)

    @property
    def resumed(self) -> bool:
        """Whether it continued from an earlier attempt's progress."""
        return self._before.begun

    async def answer(self) -> Answer:
        """Return the model's answer with its score.

        Raises:
            AppError: There is no answer; retriable if another attempt may give one.
        """
        try:
            return await self._answered()
        finally:
            for meter in self._meters:
                meter.leave()

    async def _answered(self) -> Answer:
        maker, lease = self._maker, self._lease
        run = lease.run
        tools = maker.policy.tools
        handoffs = self.handoffs = await tools.handoffs.of(lease.session, run) if tools.handoffs else None
        if handoffs is not None:
            await handoffs.before()
        drafts = self._drafts = drafts_of(tools.approvals, handoffs.team if handoffs else None, run)
        reviewed = await drafts.reviewed() if drafts is not None else Reviewed()
        live = await maker.agents.use(
            run.workspace, run.agent, self._signals, run.input.revision, pin=lease.session.pin
        )
        self._version = live.version.version
        try:
            await sum_up(maker, lease, self._signals, self._meters)
            history = await self._history_for_model(live)
            before = self._before = loaded(run.costs.progress, self._conversation)
            within = bool(before.messages) and self._conversation is not None
            messages = before.messages if within else [*client_tools.conversation(history, run), *before.messages]
            if reviewed.text is not None:
                return await self._approved(live, reviewed.text)
            messages = [*messages, reviewed.rejected] if reviewed.rejected else messages
            meter = self._meter = await self._metering(live)
            self._meters.append(meter)
            lease.enter(Stage.RUNNING)
            response = await self._call_model(live, messages, meter)
        except Exception as error:
            failure = translated(live, error)
            pin = lease.session.pin
            raise await let_go(maker.agents, self._signals, live, pin, failure) from error
        text = lease.text if self._streams else response.text
        self._tokens += estimate(user_message(run)) + estimate(text)
        check_whole(live.spec, ended := meter.totals.finish_reason)
        lease.enter(Stage.EVALUATING)
        calls = client_tools.calls_of(run, response)
        score = None if calls else await maker.score(run, live, response.messages, finish_reason=ended or None)
        if handoffs is not None:
            cost = run.spend.cost_micro_usd + self.effort.spend.cost_micro_usd
            await handoffs.after(text, score.overall if score else None, score.parts if score else {}, cost)
        if drafts is not None:
            self._draft = text
            raise drafts.ask(live.version.version, text)
        return Answer(text, score, meter.totals.model, live.version.version, calls)

    async def _approved(self, live: LiveAgent, text: str) -> Answer:
        """Return an approved draft as the answer, without a model call."""
        from agent_framework import Message  # noqa: PLC0415 - cold start

        if self._lease.run.stream:
            self._lease.add_text(text)  # followers get only the approved text
        score = await self._maker.score(self._lease.run, live, [Message("assistant", [text])])
        return Answer(text, score, live.spec.model, live.version.version)

    @property
    def _streams(self) -> bool:
        """Whether its text is published while the model writes it; not if a person has to approve it first."""
        return self._lease.run.stream and self._drafts is None

    def note_postponed(self, error: PoolFull, again_in_s: float) -> None:
        """Record that the run is postponed, with what it waits for; published with the end of the attempt."""
        expected_s = round(error.retry_after_s or 0.0, 1)
        waits = {"pool": error.pool, "expected_wait_s": expected_s, "again_in_s": round(again_in_s, 1)}
        self._lease.note("pool.waiting", waits)

    async def close(self) -> None:
        """Release unused reservations; call it once the attempt's results are committed."""
        for meter in self._meters:
            await meter.close()

    def provider_conversation_after(self, turns: int) -> ProviderConversation | None:
        """Return the provider's conversation with the answer, for a history of `turns` messages; None without one."""
        return ProviderConversation(self._conversation, turns, self._tokens) if self._conversation else None

    def provider_conversation_after_failure(self, error: AppError) -> ProviderConversation | None:
        """Return the provider's conversation if it is certainly unchanged, else None.

        A refusal for throttling added nothing to it, nor did a call that a budget did not allow; then it holds what was
        answered before. With tool calls that wait for a decision, it holds these, and continues with their results.
        After any other failure its content is unknown.
        """
        called = self._meter is not None and bool(self._meter.totals.spend.calls)
        waits = isinstance(error, (BudgetBlocked, ApprovalPending, PoolFull))
        if waits and called and self._conversation is not None:
            return ProviderConversation(self._conversation, self._lease.session.turns, self._tokens)
        refused = waits or error.code == "provider_throttled"
        return self._lease.session.held if refused and not called else None

    async def _history_for_model(self, live: LiveAgent) -> Sequence[Message]:
        """Return the history that the model must be given; the provider's conversation is used for the rest."""
        maker, session = self._maker, self._lease.session
        most = token_limit(session, live.spec, maker.policy.history_tokens)
        conversation = session.held
        if conversation is not None and conversation.tokens > most:
            conversation = None  # it is too long: a new one is begun with the latest part of the history
        key = f"{session.workspace}/{session.id}"
        self._conversation = await live.provider.conversation(
            live.version, key, conversation.id if conversation else None
        )
        goes_on = conversation is not None and self._conversation == conversation.id
        if self._conversation is not None and not goes_on:
            await self._lease.retain_conversation(RetainedConversation(live.spec.provider, self._conversation))
            most = max(1, most // 2)  # leaves space to continue in it
        first = maker.first_turn(session, conversation if goes_on else None)
        messages = [] if goes_on else [*preference_messages(session), *(brief(session) if session.assignment else ())]
        if first < session.turns:
            turns = await self._turns(first)
            latest = await compacted(turns, most)
            if len(latest) < len(turns):
                self._lease.note("run.history_compacted", {"sent": len(latest), "of": len(turns)})
            messages += latest
        self._tokens = (conversation.tokens if goes_on and conversation else 0) + sum(
            estimate(each.text) for each in messages
        )
        return messages

    async def _turns(self, first: int) -> Sequence[Turn]:
        session, prepared = self._lease.session, self._prepared
        if (prepared.first, prepared.turns) == (first, session.turns):
            return prepared.history
        return await self._maker.turns(session, first)

    async def _call_model(
        self, live: LiveAgent, messages: Sequence[Message | str], meter: CallMeter
    ) -> AgentResponse[Any]:
        run, agent, policy = self._lease.run, live.framework_agent, self._maker.policy
        version, clock, lasts = live.version.version, self._maker.clock, policy.timeout
        rules, chat, function = policy.tools, [*meter.middleware()], []
        if rules.approvals is not None:
            hosted = HostedCalls(rules.approvals, run, live.spec.hosted_servers, version, clock)
            holding = self._holding = PendingToolCalls(
                rules.approvals, run, live, meter, self._before, self._progress, hosted
            )
            rules = replace(rules, gate=holding.gate)
            chat = [holding.chat_middleware(), *chat, holding.answers_middleware()]
            function = [holding.function_middleware()]
        calls = self._tools = ToolCalls(meter, run, version, rules, clock, lasts, resumed=self.resumed)
        self._lease.tool_calls = lambda: self.effort.tools
        if self.handoffs is not None:
            chat.insert(1 if self._holding else 0, handoff_middleware(self.handoffs))
        if run.input.client_tools is not None:
            chat.insert(1 if self._holding else 0, client_tools.own_first(run))
        how: dict[str, Any] = {
            "session": agent.get_session(self._conversation) if self._conversation else None,
            "middleware": [*chat, calls.middleware(), *function],
            "client_kwargs": {"attempt": AttemptId(run.id, run.attempt, run.workspace, run.session_id)},
        }
        token = CURRENT.set(calls.context)
        try:
            async with meter.within(policy.timeout.total_seconds()):
                more = [*await live.provider.run_tools(live.spec)]
                if self.handoffs is not None:  # Foundry's agents have those only that their version declares
                    more += handoff_tools(self.handoffs, live.spec.tools)
                if run.input.client_tools is not None:
                    how |= client_tools.options_of(run)
                    more += client_tools.offered(run)
                if more:
                    how["tools"] = more
                if self._streams:
                    return await stream_updates(agent.run(messages, stream=True, **how), self._lease)
                return await agent.run(messages, **how)
        finally:
            CURRENT.reset(token)

    async def _metering(self, live: LiveAgent) -> CallMeter:
        """Return the meter of the attempt's calls, after settling what earlier attempts left reserved."""
        maker, run, held = self._maker, self._lease.run, self._lease.session.held
        budget = maker.budgets.of(charged(run), run.attempt, await maker.budgets.admission(claim(run, live)))
        if run.attempt > 1:
            await budget.take_over()
        if await budget.limits():
            self._lease.enter(Stage.CHECKING_BUDGET)
        # Estimates take a token for four characters; a reservation must not be less than what is sent.
        held_tokens = held.tokens * _BYTES_A_TOKEN if held and held.id == self._conversation else 0
        policy = MeterPolicy(
            maker.policy.guard.of(live.spec.runaway),
            maker.policy.output_tokens,
            held_tokens,
            run.dispatch.approved,
            first=1 + sum(len(meter.totals.calls) for meter in self._meters),
        )
        await budget.enter()
        return CallMeter(run.workspace, live, budget, maker.rates, self._lease, maker.clock, policy)


def claim(run: Run, live: LiveAgent) -> AdmissionRequest:
    """Return a run's claim of capacity in a pool."""
    return AdmissionRequest(run.workspace, run.agent, live.spec.labels, run.created_at, run.priority is Priority.HIGH)
