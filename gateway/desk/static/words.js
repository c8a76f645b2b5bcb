// The few words that scripts need, put into the page by the server in the reader's language.
const words = JSON.parse(document.querySelector('meta[name="words"]')?.content || "{}");

export const word = (key) => words[key] || "";
export const token = () => document.querySelector('meta[name="csrf"]')?.content || "";
export const language = document.documentElement.lang || "en";
