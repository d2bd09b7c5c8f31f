// Dark or light: as the system says, unless the reader says otherwise.
import { signal } from "@preact/signals";

const KEY = "agent-lifecycle-theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** system · light · dark */
export const chosen = signal(localStorage.getItem(KEY) ?? "system");
/** Changes whenever the colours do: what is drawn on a canvas is drawn again. */
export const painted = signal(0);

function apply() {
  if (chosen.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen.value;
  painted.value += 1;
}

export function choose(theme) {
  chosen.value = theme;
  localStorage.setItem(KEY, theme);
  apply();
}

export function next() {
  const order = ["system", "light", "dark"];
  choose(order[(order.indexOf(chosen.value) + 1) % order.length]);
}

export const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

system.addEventListener("change", apply);
apply();
