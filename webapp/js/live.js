// What changes on the server, as it changes. One tab follows the workspace's events for all tabs of this browser.
import { createParser } from "eventsource-parser";
import { signal } from "@preact/signals";
import { ApiError, key, locked, send } from "./api.js";

/** connecting · live · lost */
export const connection = signal("connecting");
/** Grows whenever what a page knows may be wrong, for events were missed or could not be had. */
export const generation = signal(0);
/** The latest events, newest first. */
export const recent = signal([]);

const SEEN = "agent-lifecycle-seen";
const KEEP = 60;
const BUSY_MS = 1000; // a busy workspace is asked once a second, however much happens
const LONGEST_RETRY_MS = 10_000;
const WAIT_S = 25;

const listeners = new Set();
const receivers = new Map();
let lastId = null;
let channel = null;
let lock = null;
let turn = null;

/** Whether this tab follows the server for the others. */
export const leading = signal(false);

/** Tell the other tabs something under a name. */
export const share = (name, data) => channel?.postMessage({ share: name, data });

/** What is called with what other tabs share under a name; with nothing under "hello", when one was opened. */
export const onShare = (name, receiver) => receivers.set(name, receiver);

/** Call back with every event, {name, data, id}, until the returned function is called. */
export function onEvent(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The event this browser saw last, before this page was opened; null the first time. */
export const seenBefore = localStorage.getItem(SEEN);

function take(event) {
  lastId = event.id || lastId;
  if (event.name === "events.expired") generation.value += 1;
  else recent.value = [event, ...recent.value].slice(0, KEEP);
  for (const listener of listeners) listener(event);
}

function state(value) {
  connection.value = value;
  channel?.postMessage({ state: value, lastId, generation: generation.value });
}

function missed() {
  generation.value += 1;
  channel?.postMessage({ state: connection.value, lastId, generation: generation.value });
}

/** Parse one answer of an event stream; an id alone moves the reader on and is no event. */
export function parsed(text) {
  const events = [];
  let lastId = null;
  const parser = createParser({
    onId: (id) => (lastId = id),
    onEvent: ({ id, event, data }) => events.push({ id, name: event ?? "message", data: JSON.parse(data || "{}") }),
  });
  parser.feed(text.endsWith("\n\n") ? text : `${text}\n\n`);
  return { events, lastId };
}

/** Ask a stream for what comes after an event. */
export async function follow(path, { after, wait = WAIT_S, from, names, abort } = {}) {
  const timeout = AbortSignal.timeout((wait + 20) * 1000);
  const response = await send("GET", path, {
    query: { wait, names, from: after ? undefined : from },
    extra: after ? { "last-event-id": after } : {},
    signal: abort ? AbortSignal.any([abort, timeout]) : timeout,
  });
  return parsed(await response.text());
}

export const pause = (ms, abort) =>
  new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done() {
      clearTimeout(timer);
      abort?.removeEventListener("abort", done);
      removeEventListener("online", done);
      resolve();
    }
    abort?.addEventListener("abort", done);
    addEventListener("online", done);
  });

async function lead(abort) {
  let failures = 0;
  while (!abort.aborted) {
    try {
      const answer = await follow("events", {
        after: lastId,
        from: "now",
        // The first answer comes at once: it says where the stream is.
        wait: lastId && connection.value === "live" ? WAIT_S : 0,
        abort,
      });
      failures = 0;
      for (const event of answer.events) {
        take(event);
        channel?.postMessage({ event });
      }
      lastId = answer.lastId ?? lastId;
      if (lastId) localStorage.setItem(SEEN, lastId);
      if (connection.value !== "live") state("live");
      if (answer.events.length) await pause(BUSY_MS, abort);
    } catch (error) {
      if (abort.aborted) return;
      failures += 1;
      if (error instanceof ApiError && error.code === "invalid_last_event_id") {
        lastId = null; // another workspace, or a server that has started over
        missed();
      }
      state("lost");
      if (locked.value) return;
      const longest = Math.min(LONGEST_RETRY_MS, 500 * 2 ** failures);
      await pause(longest * (0.5 + Math.random() / 2), abort);
    }
  }
}

function receive(message) {
  if (message.event) take(message.event);
  if (message.state) {
    connection.value = message.state;
    lastId = message.lastId ?? lastId;
    if (message.generation > generation.value) generation.value = message.generation;
  }
  if (message.share === "hello" && leading.value) state(connection.value);
  if (message.share) receivers.get(message.share)?.(message.data);
}

async function nameOf(value) {
  // Tabs that are signed in with different keys share nothing.
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
  return [...new Uint8Array(bytes.slice(0, 6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Wait for the lock of the tab that follows, or take it from the one that has it, and follow while it is held. */
async function hold({ steal = false } = {}) {
  turn?.abort();
  const own = (turn = new AbortController());
  try {
    await navigator.locks.request(lock, steal ? { steal } : { signal: own.signal }, () => follows(own.signal));
  } catch (error) {
    if (error.name !== "AbortError") throw error;
    if (turn !== own) return; // begun again with another key
    await hold(); // another tab has taken it
  }
}

async function follows(abort) {
  leading.value = true;
  abort.addEventListener("abort", () => (leading.value = false));
  await lead(abort);
  leading.value = false;
}

/** Begin to follow, or begin again with another key. */
export async function start() {
  turn?.abort();
  if (!navigator.locks || !globalThis.BroadcastChannel || !crypto.subtle) {
    turn = new AbortController();
    return follows(turn.signal); // not a secure context: each tab for itself
  }
  lock = `agent-lifecycle-events-${await nameOf(`${key.value}|${location.host}`)}`;
  channel?.close();
  channel = new BroadcastChannel(lock);
  channel.onmessage = ({ data }) => receive(data);
  share("hello");
  await hold();
}

// Browsers slow the timers of tabs that nobody looks at: the one that is looked at follows.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && lock && !leading.value) hold({ steal: true });
});
