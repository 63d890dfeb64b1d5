(() => {
  "use strict";
  const EVERY = 2000;
  const EVERY_LIVE = 500;  // while a part says that it changes fast
  const pause = document.getElementById("pause");
  let paused = false;

  function put(id, html) {
    const element = document.getElementById(id);
    if (!element) return;
    const fresh = element.cloneNode();
    fresh.innerHTML = html;
    if (fresh.innerHTML === element.innerHTML) return;
    const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
    element.replaceChildren(...fresh.childNodes);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  async function refresh() {
    if (!paused && !document.hidden) {
      try {
        const answer = await fetch("?json", { cache: "no-store" });
        if (answer.status === 403) return location.reload();
        if (!answer.ok) throw new Error(answer.statusText);
        const { state, parts } = await answer.json();
        if (!paused) for (const [id, html] of [["state", state], ...Object.entries(parts)]) put(id, html);
      } catch {
        put("state", '<span class="down">The web node does not answer; this page tries again</span>');
      }
    }
    setTimeout(refresh, document.querySelector("[data-live]") ? EVERY_LIVE : EVERY);
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
  });
  setTimeout(refresh, EVERY);
})();
