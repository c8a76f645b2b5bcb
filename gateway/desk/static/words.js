// The few words that scripts need, put into the page by the server in the reader's language.
const words = JSON.parse(document.querySelector('meta[name="words"]')?.content || "{}");

export const word = (key) => words[key] || "";
export const token = () => document.querySelector('meta[name="csrf"]')?.content || "";
const page = document.documentElement.lang || "en";
export const language = navigator.languages.find((one) => one.split("-")[0] === page) || page;
