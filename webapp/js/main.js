// The shell: what is around every page.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./html.js";
import { canSignIn, key, locked, signIn, signInByPlatform, signOut } from "./api.js";
import { connection, leading, start } from "./live.js";
import { counted, inbox, waiting, useWaiting } from "./waiting.js";
import { chosen, next as nextTheme } from "./theme.js";
import { pageKeys } from "./keys.js";
import { go, link, route } from "./route.js";
import { Confirmations, Dialog, Head, Messages, Problem, Skeleton } from "./ui.js";
import { Now } from "./pages/now.js";

// The first page comes with the shell, the others' modules when they are gone to. The tab that follows the events loads
// them before, once it has nothing else to do: they are then in the browser's cache for all tabs.
const PAGES = [
  { page: "now", title: "Now", key: "n", show: Now },
  { page: "chat", title: "Chat", key: "c", load: () => import("./pages/chat.js").then((found) => found.Chat) },
  { page: "inbox", title: "Inbox", key: "i", load: () => import("./pages/inbox.js").then((found) => found.Inbox) },
  { page: "sessions", title: "Sessions", key: "s", load: () => import("./pages/sessions.js").then((found) => found.Sessions) },
  { page: "runs", title: "Run", hidden: true, load: () => import("./pages/runs.js").then((found) => found.Runs) },
  { page: "costs", title: "Costs", key: "m", load: () => import("./pages/costs.js").then((found) => found.Costs) },
  { page: "quality", title: "Quality and speed", key: "q", load: () => import("./pages/quality.js").then((found) => found.Quality) },
  { page: "agents", title: "Agents", key: "a", load: () => import("./pages/agents.js").then((found) => found.Agents) },
  { page: "capacity", title: "Capacity", key: "p", load: () => import("./pages/capacity.js").then((found) => found.Capacity) },
  { page: "operations", title: "Operations", key: "o", load: () => import("./pages/operations.js").then((found) => found.Operations) },
];
const REST_MS = 3000; // the other pages are loaded when there is nothing else to do, or after so long

/** Load a page's modules, if they are not there yet. */
async function loaded(page) {
  page.show ??= await page.load();
  return page.show;
}

let begun = false;

async function loadRest() {
  if (!leading.value || begun) return;
  begun = true;
  for (const page of PAGES) {
    await new Promise((resolve) => (globalThis.requestIdleCallback ?? setTimeout)(resolve, { timeout: REST_MS }));
    await loaded(page).catch(() => {}); // said when somebody goes there
  }
}

/** The page that is gone to, as soon as its modules are there. */
function Page({ of, id }) {
  const [state, setState] = useState("");
  useEffect(() => {
    if (of.show) return;
    let here = true;
    loaded(of).then(() => here && setState("loaded"), () => here && setState("failed"));
    return () => (here = false);
  }, [of]);
  useEffect(() => {
    if (state === "loaded") focusTitle(); // the one that had the focus is gone
  }, [state]);
  if (of.show) return html`<${of.show} id=${id} />`;
  const error = { status: 0, message: "This page cannot be loaded: the server cannot be reached." };
  return html`<${Head} title=${of.title} />${state === "failed" ? html`<${Problem} error=${error} retry=${() => location.reload()} />` : html`<${Skeleton} />`}`;
}
const SINGLE_KEYS = "agent-lifecycle-single-keys";

function SignIn() {
  const [value, setValue] = useState("");
  if (!locked.value) return null;
  const enter = (event) => {
    event.preventDefault();
    signIn(value);
    start();
  };
  const kind = canSignIn ? "Access token" : "Function key";
  return html`<${Dialog} title=${key.value ? `This ${canSignIn ? "token" : "key"} is not accepted` : "Sign in"}>
    ${canSignIn && html`<p><button class="primary" onClick=${signInByPlatform}>Sign in with Microsoft Entra</button></p>`}
    <form onSubmit=${enter}>
      <p class="muted">${canSignIn ? "Or enter an access token for this app." : "Enter a function key of this app."} It stays in this tab, until you close it, and is sent to this app only.</p>
      <label class="field">${kind}<input type="password" autocomplete="off" required pattern="\\s*[!-~]+\\s*" title=${`A ${kind.toLowerCase()} has no spaces, and no letters but a to z`} value=${value} onInput=${(event) => setValue(event.target.value)} /></label>
      <div class="row end"><button class=${canSignIn ? "" : "primary"} type="submit">Sign in</button></div>
    </form>
  <//>`;
}

function Help({ onClose, single, setSingle }) {
  return html`<${Dialog} title="Keyboard shortcuts" onClose=${onClose}>
    <dl class="pairs">
      ${PAGES.filter((each) => each.key).map((each) => html`<dt><kbd>g</kbd> <kbd>${each.key}</kbd></dt><dd>${each.title}</dd>`)}
      <dt><kbd>/</kbd></dt><dd>Search or ask, where the page can</dd>
      <dt><kbd>t</kbd></dt><dd>System, light or dark colours</dd>
      <dt><kbd>a</kbd> <kbd>r</kbd></dt><dd>Approve, reject: in the inbox, after a question</dd>
      <dt><kbd>Ctrl</kbd> <kbd>Enter</kbd></dt><dd>Send what is written</dd>
      <dt><kbd>Esc</kbd></dt><dd>Stop an answer, close a dialog</dd>
      <dt><kbd>?</kbd></dt><dd>This list</dd>
    </dl>
    <label class="row"><input type="checkbox" checked=${single} onChange=${(event) => setSingle(event.target.checked)} /> Single-key shortcuts</label>
    <div class="row end"><button class="primary" onClick=${onClose}>Close</button></div>
  <//>`;
}

const CONNECTED = { connecting: "Connecting…", live: "Live", lost: "Connection lost – trying again" };

const focusTitle = () => document.getElementById("title")?.focus({ preventScroll: true });

function Shell() {
  const { page, id } = route.value;
  const [help, setHelp] = useState(false);
  const [single, setSingle] = useState(localStorage.getItem(SINGLE_KEYS) !== "off");
  const here = PAGES.find((each) => each.page === page) ?? PAGES[0];
  useWaiting();
  const count = counted(waiting.value, inbox.value?.cut.length);

  useEffect(() => {
    let prefix = 0;
    const press = (event) => {
      const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
      if (!single || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
      const chosenPage = Date.now() - prefix < 1500 && PAGES.find((each) => each.key === event.key);
      prefix = event.key === "g" ? Date.now() : 0;
      if (chosenPage) go(chosenPage.page);
      else if (event.key === "?") setHelp(true);
      else if (event.key === "t") nextTheme();
      else if (pageKeys.has(event.key)) pageKeys.get(event.key)();
      else if (event.key === "/") document.querySelector("[data-search]")?.focus();
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [single]);

  useEffect(() => {
    document.title = `${waiting.value ? `(${count}) ` : ""}${id ?? here.title} · Agent lifecycle`;
  }, [page, id, count]);

  useEffect(() => {
    if (Shell.shown) focusTitle();
    Shell.shown = true;
    scrollTo(0, 0);
    document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" }); // on a phone they are in a row
  }, [page, id]);

  const remember = (value) => {
    setSingle(value);
    localStorage.setItem(SINGLE_KEYS, value ? "on" : "off");
  };
  return html`
    <div class="shell">
      <div class="side" role="banner">
        <a class="brand plain" href=${link("now")}><img src=${new URL("../icon.svg", import.meta.url)} alt="" />Agent lifecycle</a>
        <nav aria-label="Pages"><ul>
          ${PAGES.filter((each) => !each.hidden).map((each) => html`<li><a href=${link(each.page)} aria-current=${each === here ? "page" : undefined}>
            ${each.title}${each.page === "inbox" && waiting.value > 0 && html`<span class="count">${count}<span class="sr"> waiting</span></span>`}
          </a></li>`)}
        </ul></nav>
        <div class="foot">
          <span class="conn" data-state=${connection.value} role="status"><i class="dot"></i><span>${CONNECTED[connection.value]}</span></span>
          <div class="row">
            <button class="quiet small" onClick=${nextTheme} aria-label=${`Colours: ${chosen.value}. Change`}>${{ system: "◐", light: "☀", dark: "☾" }[chosen.value]}</button>
            <button class="quiet small" onClick=${() => setHelp(true)} aria-label="Keyboard shortcuts">?</button>
            ${(key.value || canSignIn) && html`<button class="quiet small" onClick=${signOut}>Sign out</button>`}
          </div>
        </div>
      </div>
      <main id="main" tabindex="-1"><${Page} key=${`${page}/${id}`} of=${here} id=${id} /></main>
    </div>
    ${help && html`<${Help} onClose=${() => setHelp(false)} single=${single} setSingle=${remember} />`}
    <${SignIn} /><${Confirmations} /><${Messages} />
  `;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Shell} />`, root);
start();
leading.subscribe(loadRest);
