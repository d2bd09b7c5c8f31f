// The shell: what is around every page.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "./html.js";
import { key, locked, signIn, signOut } from "./api.js";
import { connection, start } from "./live.js";
import { waiting, useWaiting } from "./waiting.js";
import { chosen, next as nextTheme } from "./theme.js";
import { pageKeys } from "./keys.js";
import { go, link, route } from "./route.js";
import { Confirmations, Dialog, Messages } from "./ui.js";
import { Now } from "./pages/now.js";
import { Chat } from "./pages/chat.js";
import { Inbox } from "./pages/inbox.js";
import { Sessions } from "./pages/sessions.js";
import { Runs } from "./pages/runs.js";
import { Costs } from "./pages/costs.js";
import { Quality } from "./pages/quality.js";
import { Agents } from "./pages/agents.js";
import { Capacity } from "./pages/capacity.js";
import { Operations } from "./pages/operations.js";

const PAGES = [
  { page: "now", title: "Now", show: Now, key: "n" },
  { page: "chat", title: "Chat", show: Chat, key: "c" },
  { page: "inbox", title: "Inbox", show: Inbox, key: "i" },
  { page: "sessions", title: "Sessions", show: Sessions, key: "s" },
  { page: "runs", title: "Run", show: Runs, hidden: true },
  { page: "costs", title: "Costs", show: Costs, key: "m" },
  { page: "quality", title: "Quality and speed", show: Quality, key: "q" },
  { page: "agents", title: "Agents", show: Agents, key: "a" },
  { page: "capacity", title: "Capacity", show: Capacity, key: "p" },
  { page: "operations", title: "Operations", show: Operations, key: "o" },
];
const SINGLE_KEYS = "agent-lifecycle-single-keys";

function SignIn() {
  const [value, setValue] = useState("");
  if (!locked.value) return null;
  const enter = (event) => {
    event.preventDefault();
    signIn(value);
    start();
  };
  return html`<${Dialog} title=${key.value ? "This key is not accepted" : "Sign in"}>
    <form onSubmit=${enter}>
      <p class="muted">Enter a function key of this app or, where it takes sign-ins by Microsoft Entra, an access token for it. It stays in this tab, until you close it, and is sent to this app only.</p>
      <label class="field">Function key or access token<input type="password" autocomplete="off" required value=${value} onInput=${(event) => setValue(event.target.value)} /></label>
      <div class="row end"><button class="primary" type="submit">Sign in</button></div>
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

function Shell() {
  const { page, id } = route.value;
  const [help, setHelp] = useState(false);
  const [single, setSingle] = useState(localStorage.getItem(SINGLE_KEYS) !== "off");
  const here = PAGES.find((each) => each.page === page) ?? PAGES[0];
  useWaiting();

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
    const count = waiting.value;
    document.title = `${count ? `(${count}) ` : ""}${id ?? here.title} · Agent lifecycle`;
  }, [page, id, waiting.value]);

  useEffect(() => {
    if (Shell.shown) document.getElementById("title")?.focus({ preventScroll: true });
    Shell.shown = true;
    scrollTo(0, 0);
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
            ${each.title}${each.page === "inbox" && waiting.value > 0 && html`<span class="count">${waiting.value}<span class="sr"> waiting</span></span>`}
          </a></li>`)}
        </ul></nav>
        <div class="foot">
          <span class="conn" data-state=${connection.value} role="status"><i class="dot"></i><span>${CONNECTED[connection.value]}</span></span>
          <div class="row">
            <button class="quiet small" onClick=${nextTheme} aria-label=${`Colours: ${chosen.value}. Change`}>${{ system: "◐", light: "☀", dark: "☾" }[chosen.value]}</button>
            <button class="quiet small" onClick=${() => setHelp(true)} aria-label="Keyboard shortcuts">?</button>
            ${key.value && html`<button class="quiet small" onClick=${signOut}>Sign out</button>`}
          </div>
        </div>
      </div>
      <main id="main" tabindex="-1"><${here.show} key=${`${page}/${id}`} id=${id} /></main>
    </div>
    ${help && html`<${Help} onClose=${() => setHelp(false)} single=${single} setSingle=${remember} />`}
    <${SignIn} /><${Confirmations} /><${Messages} />
  `;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${Shell} />`, root);
start();
