// What the pages do beyond HTML: copy a command, fill in a link's token, show new emails and letters, fit a frame
// to its text.
for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const code = button.closest(".example").querySelector("code");
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

const link = document.querySelector("[data-link]");
if (link) {
  // Commands are pasted into a shell, where the text stands between single quotes in JSON.
  const fill = (name, value) => {
    const text = JSON.stringify(String(value)).slice(1, -1).replaceAll("'", "\\u0027");
    for (const code of link.querySelectorAll("code")) {
      code.textContent = code.textContent.replaceAll(`{${name}}`, () => text);
    }
  };
  const showCommands = async () => {
    const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
    if (!/^[\w.~-]+$/.test(token)) {
      document.querySelector("[data-no-token]").hidden = false;
      return;
    }
    fill("token", token);
    if (!link.dataset.lookUp) return;
    const response = await fetch(link.dataset.lookUp, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
    });
    if (!response.ok) return;
    for (const [name, value] of Object.entries(await response.json())) fill(name, value);
  };
  showCommands();
  addEventListener("hashchange", () => location.reload());
}

for (const frame of document.querySelectorAll("iframe[data-fit]")) {
  const fit = () => {
    const page = frame.contentDocument?.documentElement;
    if (!page) return;
    frame.style.height = `${page.scrollHeight}px`;
    for (const anchor of frame.contentDocument.links) anchor.target = "_blank";
  };
  frame.addEventListener("load", fit);
  fit();
}

const live = document.querySelector("[data-live]");
if (live) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const response = await fetch(location.pathname);
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const fresh = page.querySelector("[data-live]");
      if (fresh && fresh.innerHTML !== live.innerHTML) {
        live.innerHTML = fresh.innerHTML;
        document.querySelector("nav").innerHTML = page.querySelector("nav").innerHTML;
      }
    } catch {
      // The server has stopped; keep what is shown.
    }
  }, 2000);
}
