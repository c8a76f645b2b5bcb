// Live updates. Events carry ids and kinds only; what changed is read again as a page. The list never moves under the
// pointer: while somebody is in it, a quiet line offers the news instead.
import { refresh } from "./swap.js";

let timer = 0;
let held = false;

const busy = () => {
  const list = document.querySelector('[data-region="list"]');
  if (!list) return false;
  const scroller = list.querySelector(".scroll");
  return list.matches(":hover") || list.contains(document.activeElement) || (scroller && scroller.scrollTop > 8);
};

const offer = (show) => {
  held = show;
  const line = document.querySelector("[data-arrived]");
  if (line) line.hidden = !show;
};

const update = async () => {
  const regions = ["counts", "thread", "protection", "heading", "contact", "cases"];
  if (busy()) offer(true);
  else regions.push("list");
  try {
    await refresh(regions, true);
    if (held && regions.includes("list")) offer(false);
    else if (held) offer(true);
  } catch {
    // the connection's banner says so; the next event or reconnect tries again
  }
};

export const soon = () => {
  clearTimeout(timer);
  timer = setTimeout(update, 120);
};

export const follow = () => {
  if (!document.querySelector("[data-desk]")) return;
  document.addEventListener("click", async (event) => {
    if (!event.target.closest?.("[data-arrived]")) return;
    offer(false);
    await refresh(["list", "counts"]);
    document.querySelector('[data-region="list"] .scroll')?.scrollTo({ top: 0 });
  });
  document.addEventListener("pointerleave", (event) => {
    if (held && event.target.matches?.('[data-region="list"]')) soon();
  }, true);
  listen();
};

// The browser reconnects by itself, with its cursor, after a lost connection; after a refusal it doesn't.
const listen = () => {
  const source = new EventSource("/api/events");
  source.addEventListener("change", soon);
  source.addEventListener("signed-out", () => { source.close(); location.assign("/sign-in?why=expired"); });
  source.addEventListener("open", () => document.dispatchEvent(new CustomEvent("desk:back")));
  source.addEventListener("error", () => {
    document.dispatchEvent(new CustomEvent("desk:lost"));
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { listen(); soon(); }, 5000);
  });
  addEventListener("pagehide", () => source.close());
};
