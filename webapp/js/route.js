// Where the reader is: the part of the address after the #, so that no server has to know of it.
import { signal } from "@preact/signals";

/** What a part of the address stands for; itself where somebody wrote a `%` that begins no escape. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decoded);
  return { page: parts[0] ?? "now", id: parts[1] ?? null, query: Object.fromEntries(new URLSearchParams(query)) };
}

export const route = signal(read());
addEventListener("hashchange", () => {
  if (location.hash !== "#main") route.value = read(); // the skip link's own
});

export function link(page, id, query = {}) {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value != null && value !== "")).toString();
  return `#/${page}${id ? `/${encodeURIComponent(id)}` : ""}${text ? `?${text}` : ""}`;
}

export const go = (...to) => {
  location.hash = link(...to);
};

/** Change the query of the page that is shown, without an entry in the history. */
export function refine(query) {
  const { page, id, query: old } = route.value;
  history.replaceState(null, "", link(page, id, { ...old, ...query }));
  route.value = read();
}
