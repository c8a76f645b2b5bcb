// Times in the reader's own zone and words: the server writes UTC, which stays when scripts are off.
import { language } from "./words.js";

const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(language, { weekday: "short", hour: "2-digit", minute: "2-digit" });
const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

const spoken = (at) => {
  const age = Date.now() - at;
  if (new Date().toDateString() === at.toDateString()) return clock.format(at);
  return Math.abs(age) < 6 * 86400000 ? day.format(at) : date.format(at);
};

export const clocks = () => {
  for (const time of document.querySelectorAll("time[datetime]")) {
    if (time.dataset.done === time.dateTime) continue;
    const at = new Date(time.dateTime);
    time.title = exact.format(at);
    if (time.dataset.form === "exact") time.textContent = spoken(at);
    time.dataset.done = time.dateTime;
  }
};
