// One conversation: asking, following the answer while it is written, and healing when the connection breaks.
import { signal } from "@preact/signals";
import { ApiError, get, post, send } from "./api.js";
import { follow, pause } from "./live.js";

const ENDED = new Set(["succeeded", "failed", "cancelled"]);
const FINAL_STAGES = new Set(["COMPLETED", "FAILED"]);
const LONGEST_RETRY_MS = 8000;

/** A turn before anything is known of its run. */
const asked = (key, query) => ({ key, id: null, query, stage: null, attempt: 0, text: "", gap: false, notes: [], run: null, error: null });

/** What a turn is after an event of its run. */
export function after(turn, { name, data }) {
  if (name === "run.stage") {
    const again = data.attempt > turn.attempt;
    return { ...turn, stage: data.stage, attempt: data.attempt ?? turn.attempt, text: again ? "" : turn.text, gap: again ? false : turn.gap };
  }
  if (name === "run.delta") {
    if (data.attempt < turn.attempt) return turn;
    const text = data.attempt > turn.attempt ? "" : turn.text;
    // Offsets count code points, as the server's language does.
    const length = [...text].length;
    if (data.offset < length) return turn; // read twice
    return { ...turn, attempt: data.attempt, text: text + data.text, gap: turn.gap || data.offset > length };
  }
  if (name === "run.stream_ended" && data.outcome !== "completed") return { ...turn, text: "" };
  if (name === "run.retrying") return { ...turn, text: "", notes: [...turn.notes, `Attempt ${data.attempt} failed (${data.code}); it is tried again.`] };
  if (name === "handoff.initiated") return { ...turn, text: "", gap: false, notes: [...turn.notes, `${data.source} hands over to ${data.target}.`] };
  if (name === "run.waiting") return { ...turn, notes: [...turn.notes, "It waits until the session is resumed."] };
  if (name === "run.history_compacted") return { ...turn, notes: [...turn.notes, `The model was given the last ${data.sent} of ${data.of} messages.`] };
  return turn;
}

export class Conversation {
  /** @param team  The team that is asked; null where it is one agent. */
  constructor(agent, sessionId, team = null) {
    this.agent = signal(agent);
    this.team = signal(team);
    this.sessionId = signal(sessionId);
    this.turns = signal([]);
    this.loading = signal(Boolean(sessionId));
    this.error = signal(null);
    this.session = signal(null);
    /** Whether an answer is being followed and the server cannot be reached. */
    this.lost = signal(false);
    this.abort = new AbortController();
    this.following = false;
  }

  get busy() {
    return this.turns.value.some((turn) => !turn.run && !turn.error);
  }

  async open() {
    const id = this.sessionId.value;
    if (!id) return;
    try {
      const found = await get(`sessions/${encodeURIComponent(id)}/export`, { format: "json" }, { signal: this.abort.signal });
      this.session.value = found.session;
      this.agent.value = found.session.agent;
      this.team.value = found.session.assignment?.team ?? null;
      this.turns.value = found.runs.map((run) => ({
        ...asked(run.id, run.query),
        id: run.id,
        stage: run.stage,
        run: ENDED.has(run.state) ? run : null,
        waiting: run.state === "waiting",
      }));
      this.loading.value = false;
      // What is not finished is read from the session's first event, so that nothing of it is left out.
      if (this.busy) this.followOn(null);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.loading.value = false;
      this.error.value = error;
    }
  }

  close() {
    this.abort.abort();
  }

  change(key, change) {
    this.turns.value = this.turns.value.map((turn) => (turn.key === key ? change(turn) : turn));
  }

  /** Ask; what goes wrong stands with the turn. */
  async ask(query, { topics = [] } = {}) {
    const key = crypto.randomUUID();
    this.turns.value = [...this.turns.value, asked(key, query)];
    const known = this.sessionId.value;
    try {
      // Where the session's events are now: those of this run come after it.
      const position = known ? (await this.again(() => follow(`sessions/${encodeURIComponent(known)}/events`, { from: "now", wait: 0, abort: this.abort.signal }))).lastId : null;
      const body = { query, stream: true, session_id: known ?? undefined, expected_topics: topics.length ? topics : undefined };
      const path = this.team.value ? `teams/${encodeURIComponent(this.team.value)}/runs` : `agents/${encodeURIComponent(this.agent.value)}/runs`;
      // The key makes it the same run however often it is sent.
      const run = await this.again(() => post(path, body, { extra: { "idempotency-key": key }, signal: this.abort.signal }));
      this.sessionId.value = run.session_id;
      this.change(key, (turn) => ({ ...turn, id: run.id, stage: run.stage }));
      this.followOn(position);
    } catch (error) {
      if (error.name !== "AbortError") this.change(key, (turn) => ({ ...turn, error }));
    }
  }

  /** Do something until it succeeds or is refused: a server that is away comes back. */
  async again(something) {
    for (let failures = 0; ; failures += 1) {
      try {
        const result = await something();
        this.lost.value = false;
        return result;
      } catch (error) {
        const passing = (error instanceof ApiError && error.passing) || error.name === "TimeoutError";
        if (!passing || this.abort.signal.aborted) throw error;
        this.lost.value = true;
        await pause(Math.min(LONGEST_RETRY_MS, 400 * 2 ** failures) * (0.5 + Math.random() / 2), this.abort.signal);
      }
    }
  }

  async followOn(position) {
    if (this.following) return;
    this.following = true;
    let last = position;
    const path = `sessions/${encodeURIComponent(this.sessionId.value)}/events`;
    try {
      while (this.busy && !this.abort.signal.aborted) {
        const answer = await this.again(() => follow(path, { after: last, from: "start", abort: this.abort.signal }));
        last = answer.lastId ?? last;
        for (const event of answer.events) await this.take(event);
      }
    } catch (error) {
      if (this.abort.signal.aborted) return;
      for (const turn of this.turns.value) if (!turn.run && !turn.error) this.change(turn.key, (each) => ({ ...each, error }));
    } finally {
      this.following = false;
    }
  }

  async take(event) {
    const turn = this.turns.value.find((each) => each.id && each.id === event.data.run_id);
    if (event.name === "session.state_changed") {
      const waits = ["waiting", "paused"].includes(event.data.state);
      for (const each of this.turns.value.filter((one) => one.id && !one.run)) this.change(each.key, (one) => ({ ...one, waiting: waits }));
    }
    if (!turn || turn.run) return;
    this.change(turn.key, (old) => after(old, event));
    const ended = event.name === "run.stage" && FINAL_STAGES.has(event.data.stage);
    if (ended || event.name === "run.cancel_requested" || event.name === "run.stream_ended") await this.settle(turn);
  }

  /** Read the run itself; what it says counts. */
  async settle(turn) {
    const run = await this.again(() => get(`runs/${turn.id}`, {}, { signal: this.abort.signal }));
    if (ENDED.has(run.state)) this.change(turn.key, (old) => ({ ...old, run, waiting: false }));
  }

  async stop() {
    for (const turn of this.turns.value.filter((each) => each.id && !each.run)) {
      await send("POST", `runs/${turn.id}/cancel`);
      await this.settle(turn);
    }
  }

  async resume(turn) {
    await send("POST", `runs/${turn.id}/resume`);
    this.change(turn.key, (old) => ({ ...old, waiting: false }));
  }
}
