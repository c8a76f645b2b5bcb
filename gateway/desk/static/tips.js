// Explanations show on hover and focus by style alone; here they can be put away with Escape (WCAG 2.2, 1.4.13) and are
// kept inside the window.
const place = (fact) => {
  const tip = fact.querySelector(".tip");
  if (!tip || innerWidth < 720) return;
  tip.style.removeProperty("left");
  tip.style.removeProperty("right");
  tip.style.removeProperty("top");
  tip.style.removeProperty("bottom");
  const box = tip.getBoundingClientRect();
  const pane = fact.closest(".scroll, .page, .contact")?.getBoundingClientRect();
  const right = pane ? pane.right - 12 : innerWidth - 12;
  if (box.right > right) { tip.style.left = "auto"; tip.style.right = "0"; }
  if (box.top < (pane ? pane.top : 0)) { tip.style.bottom = "auto"; tip.style.top = "calc(100% + 6px)"; }
};

export const tips = () => {
  for (const kind of ["pointerenter", "focusin"]) {
    document.addEventListener(kind, (event) => {
      const fact = event.target.closest?.(".fact");
      if (fact) { fact.classList.remove("quiet-tip"); place(fact); }
    }, true);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const fact of document.querySelectorAll(".fact:hover, .fact:focus-within")) fact.classList.add("quiet-tip");
  });
};
