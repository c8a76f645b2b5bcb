// The composer: keeps a draft on the server while somebody types, and sends. A typed reply is never lost: it stays in
// the field until the server has taken it, and while offline it stays in this tab's memory.
import { word, token } from "./words.js";
import { refresh, swapped, toEnd } from "./swap.js";

let timer = 0;
let typed = null; // what isn't kept yet: { url, text }
let sending = false;

const form = () => document.querySelector("form[data-compose]");
const say = (text, wrong = false) => {
  const line = form()?.querySelector("[data-say]");
  if (!line) return;
  line.textContent = text;
  line.classList.toggle("stopped", wrong);
};

const call = (method, url, body, more = {}, keepalive = false) =>
  fetch(url, {
    method, keepalive, credentials: "same-origin", cache: "no-store", redirect: "error",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token(), ...more },
    body: JSON.stringify(body),
  });

const keep = async (leaving = false) => {
  clearTimeout(timer);
  const mine = typed;
  if (!mine || sending) return;
  try {
    const answer = await call("PUT", mine.url, { text: mine.text }, {}, leaving);
    if (!answer.ok) throw new Error();
    if (typed !== mine) return;
    typed = null;
    if (form()?.dataset.draft === mine.url) say(mine.text ? word("kept") : "");
  } catch {
    if (form()?.dataset.draft === mine.url) say(word("unkept"), true);
    timer = setTimeout(keep, 5000);
  }
};

const type = (event) => {
  const here = event.target.closest?.("form[data-compose]");
  if (!here) return;
  typed = { url: here.dataset.draft, text: here.elements.text.value };
  say(word("keeping"));
  clearTimeout(timer);
  timer = setTimeout(keep, 600);
};

const send = async (event) => {
  const here = event.target.closest?.("form[data-compose]");
  if (!here) return;
  event.preventDefault();
  const field = here.elements.text;
  const text = field.value.trim();
  if (sending) return;
  if (!text) { say(word("empty"), true); field.focus(); return; }
  clearTimeout(timer);
  sending = true;
  const button = here.querySelector("[type=submit]");
  button.disabled = true;
  say(word("sending"));
  try {
    const answer = await call("POST", here.dataset.replies, { text, seen: Number(here.elements.seen.value), promised: here.elements.promised.value }, { "Idempotency-Key": here.elements.key.value });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Error(problem.detail || "");
    }
    field.value = "";
    typed = null;
    sending = false;
    await refresh(["side", "list", "talk", "contact"]).catch(() => location.reload());
    toEnd();
    say(word("queued"));
    form()?.elements.text.focus();
  } catch (error) {
    button.disabled = false;
    say(error.message && error.name === "Error" ? error.message : word("failed"), true);
    field.focus();
  } finally {
    sending = false;
  }
};

export const compose = () => {
  document.addEventListener("input", type);
  document.addEventListener("submit", send);
  // leaving takes the draft along; only when it can't be sent does the browser ask
  addEventListener("beforeunload", (event) => { if (typed && !navigator.onLine) event.preventDefault(); });
  addEventListener("pagehide", () => keep(true));
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden") keep(true); });
  swapped(() => { if (typed && form()?.dataset.draft !== typed.url) keep(); });
};
