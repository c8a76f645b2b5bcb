// Taking regions over from a fresh page. The page comes as a parsed, script-free document (XMLHttpRequest, responseType
// "document"), so no string ever becomes HTML here and Trusted Types need no policy.
import { clocks } from "./times.js";

const listeners = [];
let under = 0;

/** Calls `then` whenever regions were replaced. */
export const swapped = (then) => listeners.push(then);

export const load = (url, live = false) =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("GET", url);
    request.responseType = "document";
    request.timeout = 15000;
    request.setRequestHeader("Accept", "text/html");
    if (live) request.setRequestHeader("X-Live", "1");
    request.onload = () => {
      const page = request.response;
      if (new URL(request.responseURL).pathname === "/sign-in") location.assign("/sign-in?why=expired");
      else if (request.status === 200 && page && page.querySelector("[data-desk]")) resolve([page, request.responseURL]);
      else reject(request.status || 0);
    };
    request.onerror = request.ontimeout = () => reject(0);
    request.send();
  });

/** Replaces the named regions by those of `page`. Focus and scrolling stay where they are. */
export const take = (page, names) => {
  for (const name of names) {
    const old = document.querySelector(`[data-region="${name}"]`);
    const fresh = page.querySelector(`[data-region="${name}"]`);
    if (!old || !fresh || old.isEqualNode(fresh)) continue;
    if (name === "protection" && old.parentElement.tagName !== fresh.parentElement.tagName) {
      // writing became possible or impossible: the whole composer changes, unless that would lose what was typed
      const box = old.closest(".composer");
      if (!box.querySelector("textarea")?.value) box.replaceWith(document.adoptNode(fresh.closest(".composer")));
      continue;
    }
    const scroller = old.matches(".scroll") ? old : old.querySelector(".scroll");
    const [top, atEnd] = scroller ? [scroller.scrollTop, near(scroller)] : [0, false];
    const focused = old.contains(document.activeElement) ? document.activeElement.dataset.focus : "";
    const adopted = document.adoptNode(fresh);
    old.replaceWith(adopted);
    const now = adopted.matches(".scroll") ? adopted : adopted.querySelector(".scroll");
    if (now) now.scrollTop = name === "thread" && atEnd ? now.scrollHeight : top;
    if (focused) adopted.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
  clocks();
  for (const then of listeners) then();
};

const near = (scroller) => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;

/** The current page again, only these regions. */
export const refresh = async (names, live = false) => {
  const mine = ++under;
  const [page] = await load(location.href, live);
  if (mine === under) take(page, names);
};

const everything = ["side", "list", "talk", "contact"];

export const go = async (url, push = true) => {
  const mine = ++under;
  try {
    const [page, real] = await load(url);
    if (mine !== under) return;
    const desk = page.querySelector("[data-desk]");
    const here = document.querySelector("[data-desk]");
    if (!here || desk.dataset.desk !== here.dataset.desk) { location.assign(url); return; }
    here.className = desk.className;
    document.title = page.title;
    if (push) history.pushState({}, "", real);
    take(page, everything);
    toEnd();
  } catch {
    location.assign(url);
  }
};

export const toEnd = () => {
  const thread = document.querySelector('[data-region="thread"]');
  const last = thread?.querySelector(".message:last-of-type");
  if (!last) return;
  // the newest message from its beginning: a long one isn't read from its end
  const before = last.offsetTop - thread.offsetTop - 24;
  thread.scrollTop = Math.min(before, thread.scrollHeight - thread.clientHeight);
};

export const navigate = () => {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-go]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(link.href);
  });
  addEventListener("popstate", () => go(location.href, false));
  toEnd();
};
