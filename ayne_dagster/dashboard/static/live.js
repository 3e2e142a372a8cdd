// Listens while a collection runs: puts texts and shares of bars into the page, and fetches the part when runs change.
"use strict";
(() => {
  const now = () => document.getElementById("now");
  if (!now() || !window.EventSource) return;

  function put(told) {
    for (const element of now().querySelectorAll("[data-text]")) {
      const text = told.texts[element.dataset.text];
      if (text !== undefined && element.textContent !== text) element.textContent = text;
    }
    for (const bar of now().querySelectorAll("[data-share]")) {
      const share = told.shares[bar.dataset.share];
      if (share !== undefined) bar.setAttribute("width", (100 * share).toFixed(2));
    }
  }

  async function replace() {
    const answer = await fetch("/part/now");
    if (!answer.ok) return;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("now");
    if (parsed) now().replaceWith(parsed);
  }

  const source = new EventSource("/live");
  source.onmessage = (event) => {
    const told = JSON.parse(event.data);
    const shown = [...now().querySelectorAll("[data-text]")].map((element) => element.dataset.text);
    const isNew = Object.keys(told.texts).some((name) => !shown.includes(name));
    if (told.key !== now().dataset.key || isNew) replace().catch(() => {});
    else put(told);
  };
  window.addEventListener("pagehide", () => source.close());
})();
