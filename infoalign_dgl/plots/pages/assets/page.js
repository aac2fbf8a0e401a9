"use strict";
// Light or dark: as the reader's system has it, until the button says otherwise.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const show = (dark) => {
    root.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light" : "Dark";
    root.dispatchEvent(new CustomEvent("themechange"));
  };
  let chosen = false;
  show(system.matches);
  system.addEventListener("change", (event) => { if (!chosen) show(event.matches); });
  button.addEventListener("click", () => { chosen = true; show(root.dataset.theme !== "dark"); });
})();
