// Single-key shortcuts that a page has while it is shown; the shell calls them unless somebody is typing.
import { useEffect, useRef } from "preact/hooks";

export const pageKeys = new Map();

/** @param keys  Functions by key, like {a: approve}. */
export function useKeys(keys) {
  const latest = useRef(keys);
  latest.current = keys;
  useEffect(() => {
    const own = Object.keys(keys);
    for (const key of own) pageKeys.set(key, () => latest.current[key]());
    return () => own.forEach((key) => pageKeys.delete(key));
  }, [Object.keys(keys).join()]);
}
