// The public API, with the reader's key. Nothing else is asked of the server.
import { signal } from "@preact/signals";

// …/api/app/v/{version}/js/api.js: the API is four levels up, whatever prefix a gateway gives it.
export const base = new URL("../../../../", import.meta.url);

const KEY = "agent-lifecycle-key";

/** Kept in this tab's session storage only; sent as a header, never in an address. */
export const key = signal(sessionStorage.getItem(KEY) ?? "");
/** Whether the API asks for a key that this tab has not. */
export const locked = signal(false);

export class ApiError extends Error {
  constructor(status, code, detail, fields = []) {
    super(detail);
    this.status = status;
    this.code = code;
    this.fields = fields;
  }
  /** Whether the same request may succeed later, for nothing is wrong with it. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export function signIn(value) {
  key.value = value.trim();
  if (key.value) sessionStorage.setItem(KEY, key.value);
  else sessionStorage.removeItem(KEY);
  locked.value = false;
}

/** Where the platform signs a browser in; empty where it does not. Its session is a cookie, which no script can read. */
const platform = document.documentElement.dataset.signIn ?? "";
export const canSignIn = platform !== "";
const RETURN = "agent-lifecycle-return";

/** Go to the platform's sign-in, and come back to this place: the part after the # does not survive it by itself. */
export function signInByPlatform() {
  sessionStorage.setItem(RETURN, location.hash);
  location.assign(`${platform}?post_login_redirect_uri=${encodeURIComponent(location.pathname)}`);
}

const place = sessionStorage.getItem(RETURN);
sessionStorage.removeItem(RETURN);
if (place && !location.hash) history.replaceState(null, "", place);

export function signOut() {
  const withKey = key.value !== "";
  signIn("");
  if (withKey || !canSignIn) location.reload();
  else location.assign(`/.auth/logout?post_logout_redirect_uri=${encodeURIComponent(location.pathname)}`);
}

const TOKEN = /^eyJ[\w-]+\.[\w-]+\.[\w-]*$/;

export function headers(more = {}) {
  if (!key.value) return more;
  return TOKEN.test(key.value) ? { authorization: `Bearer ${key.value}`, ...more } : { "x-functions-key": key.value, ...more };
}

export function address(path, query = {}) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query)) {
    if (value != null && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function problem(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // The host itself answers without a body: a path that does not exist, or a key that is missing.
  }
  const detail = body.detail ?? { 401: "A key is needed.", 403: "You may not do that.", 404: "It does not exist." }[response.status];
  return new ApiError(response.status, body.code ?? "", detail ?? `The server answered ${response.status}.`, body.errors ?? []);
}

/** Send a request and return the response; anything but success is an ApiError. */
export async function send(method, path, { query, body, extra, signal: abort } = {}) {
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers: headers({ ...(body === undefined ? {} : { "content-type": "application/json" }), ...extra }),
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: abort,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached.");
  }
  if (response.ok) return response;
  if (response.status === 401) locked.value = true;
  throw await problem(response);
}

export async function get(path, query, options) {
  return (await send("GET", path, { query, ...options })).json();
}

export async function post(path, body, options) {
  const response = await send("POST", path, { body, ...options });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** Read all pages of a list, up to a number of items; `complete` says whether there were no more. */
export async function all(path, query = {}, most = 1000, options) {
  const items = [];
  let next;
  do {
    const page = await get(path, { ...query, limit: Math.min(200, most - items.length), next }, options);
    items.push(...page.items);
    next = page.next;
  } while (next && items.length < most);
  return { items, complete: !next };
}
