// Keyboard: single keys outside of fields, Escape everywhere, ⌘⏎ or Ctrl+Enter in the composer. Keys are compared by
// what they write, so they work on every layout.
let before = "";
let forget = 0;

const rows = () => [...document.querySelectorAll("a.row")];
const typing = (element) => element.matches?.("input, textarea, select, [contenteditable]");
const press = (name) => document.querySelector(`[data-key="${name}"]`)?.click();

const step = (by) => {
  const all = rows();
  if (!all.length) return;
  const focused = all.indexOf(document.activeElement);
  const at = focused >= 0 ? focused : all.findIndex((row) => row.getAttribute("aria-current"));
  const next = all[Math.max(0, Math.min(all.length - 1, at + by))];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
};

const help = () => {
  const box = document.querySelector("dialog.keys");
  if (box && !box.open) box.showModal();
};

const escape = (event) => {
  const open = document.querySelector("dialog[open]");
  if (open) return;
  if (typing(event.target)) { event.target.blur(); return; }
  const back = document.querySelector("a[data-back]");
  if (back && back.offsetParent) { back.click(); return; }
  document.querySelector('a.row[aria-current]')?.focus();
};

const single = {
  j: () => step(1), k: () => step(-1), ArrowDown: () => step(1), ArrowUp: () => step(-1),
  r: () => document.querySelector("form[data-compose] textarea")?.focus(),
  a: () => press("claim"), e: () => press("close"), "?": help,
};
const after = { m: "mine", o: "open", h: "held" };

const key = (event) => {
  if (event.isComposing) return;
  if (event.key === "Escape") { escape(event); return; }
  if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
    const form = event.target.closest?.("form[data-compose]");
    if (form) { event.preventDefault(); form.requestSubmit(); }
    return;
  }
  if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  if (before === "g" && after[event.key]) {
    const link = document.querySelector(`[data-place="${after[event.key]}"]`);
    before = "";
    if (link) { event.preventDefault(); link.click(); }
    return;
  }
  if (event.key === "g") {
    before = "g";
    clearTimeout(forget);
    forget = setTimeout(() => { before = ""; }, 1200);
    return;
  }
  before = "";
  const arrow = event.key.startsWith("Arrow");
  if (arrow && !document.activeElement?.matches("a.row")) return;
  const act = single[event.key];
  if (act) { event.preventDefault(); act(); }
};

export const shortcuts = () => {
  document.addEventListener("keydown", key);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-help]")) { event.preventDefault(); help(); }
    const done = event.target.closest?.("[data-done]");
    if (done) done.closest("dialog").close();
  });
};

