// What a page has asked for, and asking again when it changes.
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { get, key } from "./api.js";
import { connection, generation, onEvent } from "./live.js";

const AT_MOST_EVERY_MS = 3000;

/**
 * Return {data, error, loading, reload} of a request, and ask again when one of the named events happens.
 *
 * What is shown stays until there is something newer. A hidden tab asks for nothing until it is looked at.
 * @param load  Asks; gets an AbortSignal. Null for nothing to ask yet.
 * @param on  Names of events after which the answer may be another, like "run." or "agent.created".
 * @param inputs  What the request depends on.
 * @param hidden  Whether it is asked for in a hidden tab, too.
 * @param of  What the events must be of, like {session_id: "…"}: those of others change nothing.
 */
export function useData(load, on = [], inputs = [], { hidden = false, of = {} } = {}) {
  const [result, setResult] = useState({ data: null, error: null, loading: true });
  const current = useRef({ at: 0, timer: null, abort: null, again: false, stale: false });
  const latest = useRef(load);
  latest.current = load;
  const concerned = useRef(of);
  concerned.current = of;

  const run = useCallback(async () => {
    const now = current.current;
    now.abort?.abort();
    clearTimeout(now.timer);
    now.timer = null;
    now.again = now.stale = false;
    if (!latest.current) return setResult({ data: null, error: null, loading: false });
    const abort = (now.abort = new AbortController());
    now.at = Date.now();
    setResult((old) => ({ ...old, loading: true }));
    try {
      const data = await latest.current(abort.signal);
      if (!abort.signal.aborted) setResult({ data, error: null, loading: false });
    } catch (error) {
      if (!abort.signal.aborted) setResult((old) => ({ data: old.data, error, loading: false }));
    }
    if (now.abort !== abort) return;
    now.abort = null;
    if (now.again) soon();
  }, []);

  const soon = useCallback(() => {
    const now = current.current;
    if (document.hidden && !hidden) return void (now.stale = true);
    // A slow answer is waited for: if every event began anew, a busy workspace would never show one.
    if (now.abort) return void (now.again = true);
    now.timer ??= setTimeout(run, Math.max(300, now.at + AT_MOST_EVERY_MS - Date.now()));
  }, [run]);

  useEffect(() => {
    setResult({ data: null, error: null, loading: true });
    run();
    return () => {
      current.current.abort?.abort();
      current.current.abort = null;
    };
  }, [run, key.value, ...inputs]);

  useEffect(() => {
    const concerns = ({ name, data }) => on.some((each) => name.startsWith(each)) && Object.entries(concerned.current).every(([key, value]) => data[key] === value);
    const off = onEvent((event) => concerns(event) && soon());
    const look = () => !document.hidden && current.current.stale && run();
    document.addEventListener("visibilitychange", look);
    return () => {
      off();
      document.removeEventListener("visibilitychange", look);
      clearTimeout(current.current.timer);
      current.current.timer = null;
    };
  }, [run, soon, on.join()]);

  // What could not be had while the server was away is asked for when it is back.
  const live = connection.value === "live";
  const failed = useRef(null);
  failed.current = result.error;
  useEffect(() => {
    if (live && failed.current?.passing) soon();
  }, [live, soon]);

  const age = generation.value;
  const born = useRef(age);
  useEffect(() => {
    if (age !== born.current) soon();
  }, [age]);

  return { ...result, reload: run };
}

/** The same, of one resource. */
export function useResource(path, query = {}, on = [], options = {}) {
  const asked = path && JSON.stringify([path, query]);
  return useData(path ? (signal) => get(path, query, { signal }) : null, on, [asked], options);
}

const MOST_A_REQUEST = 200;

/** Pages of a list of `query.limit` items, with `more()` to read the next; reading it again reads as many as are shown. */
export function useList(path, query, on = []) {
  const asked = path && JSON.stringify([path, query]);
  const shown = useRef({ asked, items: 0 });
  if (shown.current.asked !== asked) shown.current = { asked, items: 0 };
  const load = async (signal) => {
    const of = shown.current;
    const page = (left, next) => get(path, { ...query, limit: Math.min(MOST_A_REQUEST, Math.max(left, query.limit)), next }, { signal });
    const first = await page(of.items);
    while (first.next && first.items.length < of.items) {
      const { items, next } = await page(of.items - first.items.length, first.next);
      first.items.push(...items);
      first.next = next;
    }
    return first;
  };
  const first = useData(path ? load : null, on, [asked]);
  const [rest, setRest] = useState({ of: null, items: [], next: null, loading: false, error: null });
  const extended = rest.of === first.data ? rest : { items: [], next: first.data?.next, loading: false, error: null };
  const items = first.data ? [...first.data.items, ...extended.items] : null;
  const more = async () => {
    const of = first.data;
    shown.current.items = items.length + query.limit; // also of what is read again meanwhile
    setRest({ ...extended, of, loading: true });
    try {
      const page = await get(path, { ...query, next: extended.next });
      setRest({ of, items: [...extended.items, ...page.items], next: page.next, loading: false, error: null });
    } catch (error) {
      setRest({ ...extended, of, loading: false, error });
    }
  };
  return {
    ...first,
    items,
    next: extended.next,
    loadingMore: extended.loading,
    moreError: extended.error,
    more,
  };
}
