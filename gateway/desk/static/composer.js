// The composer: keeps a draft on the server while somebody types, and sends. A typed reply is never lost: it stays in
// the field until the server has taken it, and while offline it stays in this tab's memory.
import { word, token } from "./words.js";
import { refresh, swapped, toEnd } from "./swap.js";

let timer = 0;
let waiting = false;
let sending = false;

const form = () => document.querySelector("form[data-compose]");
const say = (text, wrong = false) => {
  const line = form()?.querySelector("[data-say]");
  if (!line) return;
  line.textContent = text;
  line.classList.toggle("stopped", wrong);
};

export const call = (method, url, body, more = {}) =>
  fetch(url, {
    method, credentials: "same-origin", cache: "no-store", redirect: "error",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": token(), ...more },
    body: JSON.stringify(body),
  });

const keep = async () => {
  const here = form();
  if (!here || sending) return;
  const text = here.elements.text.value;
  waiting = true;
  try {
    const answer = await call("PUT", here.dataset.draft, { text });
    if (!answer.ok) throw new Error();
    waiting = here !== form() ? waiting : here.elements.text.value !== text;
    if (!waiting && here === form()) say(text ? word("kept") : "");
  } catch {
    say(word("unkept"), true);
    clearTimeout(timer);
    timer = setTimeout(keep, 5000);
  }
};

const type = (event) => {
  if (!event.target.closest?.("form[data-compose]")) return;
  waiting = true;
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
    const answer = await call("POST", here.dataset.replies, { text, seen: Number(here.elements.seen.value) }, { "Idempotency-Key": here.elements.key.value });
    if (!answer.ok) {
      const problem = await answer.json().catch(() => ({}));
      throw new Error(problem.detail || "");
    }
    field.value = "";
    waiting = false;
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
  addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });
  document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden" && waiting) keep(); });
  swapped(() => { if (!form()) waiting = false; });
};
