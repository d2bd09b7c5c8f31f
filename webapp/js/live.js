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
let lastId = null;
let channel = null;
let stop = null;

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
  if (message.hello && leading) state(connection.value);
}

let leading = false;

async function nameOf(value) {
  // Tabs that are signed in with different keys share nothing.
  const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(value));
  return [...new Uint8Array(bytes.slice(0, 6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Begin to follow, or begin again with another key. */
export async function start() {
  stop?.abort();
  const abort = (stop = new AbortController());
  const run = async () => {
    leading = true;
    await lead(abort.signal);
    leading = false;
  };
  if (!navigator.locks || !globalThis.BroadcastChannel || !crypto.subtle) return run(); // not a secure context
  const name = `agent-lifecycle-events-${await nameOf(`${key.value}|${location.host}`)}`;
  channel?.close();
  channel = new BroadcastChannel(name);
  channel.onmessage = ({ data }) => receive(data);
  channel.postMessage({ hello: true });
  try {
    await navigator.locks.request(name, { signal: abort.signal }, run);
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}
