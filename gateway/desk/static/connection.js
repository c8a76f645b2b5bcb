// The banner that says whether we are online. It waits a moment: a short hiccup is nobody's business.
import { word } from "./words.js";
import { soon } from "./live.js";

let timer = 0;
let shown = false;

const say = (text) => {
  const banner = document.querySelector("[data-banner]");
  if (!banner) return;
  banner.querySelector("span").textContent = text;
  banner.hidden = !text;
};

const lost = () => {
  clearTimeout(timer);
  timer = setTimeout(() => { shown = true; say(navigator.onLine ? word("reconnecting") : word("offline")); }, navigator.onLine ? 2500 : 0);
};

const back = () => {
  clearTimeout(timer);
  if (!shown) return;
  shown = false;
  say(word("back"));
  setTimeout(() => { if (!shown) say(""); }, 2000);
  soon();
};

export const connection = () => {
  document.addEventListener("desk:lost", lost);
  document.addEventListener("desk:back", back);
  addEventListener("offline", lost);
  addEventListener("online", back);
};
