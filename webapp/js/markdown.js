// Answers are Markdown from a model: text of nobody's, shown without trusting any of it.
import "../vendor/purify.min.js";
import { marked } from "marked";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { html } from "./html.js";
import { copy } from "./ui.js";

const TAGS = "a b blockquote br code del em h1 h2 h3 h4 h5 h6 hr i li ol p pre s strong sub sup table tbody td th thead tr ul".split(" ");
const purify = globalThis.DOMPurify;

purify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("rel", "noopener noreferrer nofollow");
  node.setAttribute("target", "_blank");
});

// A picture would be asked of whoever its address names, and so tell them that this was read: it is a link instead.
marked.use({
  gfm: true,
  renderer: {
    image({ href, text }) {
      return `<a href="${encodeURI(href).replaceAll('"', "%22")}">${(text || "image").replaceAll("&", "&amp;").replaceAll("<", "&lt;")}</a>`;
    },
    // Markup in an answer is shown as the text it is.
    html({ text }) {
      return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
    },
  },
});

export function safe(text) {
  return purify.sanitize(marked.parse(text), {
    ALLOWED_TAGS: TAGS,
    ALLOWED_ATTR: ["href", "title", "align", "start"],
    ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
    ALLOW_DATA_ATTR: false,
    ALLOW_ARIA_ATTR: false,
  });
}

export function Markdown({ text, pending = false }) {
  const element = useRef();
  const markup = useMemo(() => safe(text), [text]);
  useEffect(() => {
    if (pending) return;
    for (const block of element.current.querySelectorAll("pre")) {
      block.tabIndex = 0;
      if (block.nextElementSibling?.matches("button")) continue;
      const button = document.createElement("button");
      button.className = "quiet small";
      button.textContent = "Copy code";
      button.onclick = () => copy(block.textContent);
      block.after(button);
    }
  }, [markup, pending]);
  return html`<div ref=${element} class=${`prose ${pending ? "pending" : ""}`} dangerouslySetInnerHTML=${{ __html: markup }}></div>`;
}
