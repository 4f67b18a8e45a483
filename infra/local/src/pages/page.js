// What the pages do beyond HTML: copy a command, sign in as a sample person, show current codes, new emails and letters,
// fit a frame to its text.
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

// Hands a sample person to the sign-in page in the same tab, so that no password is in an address.
for (const link of document.querySelectorAll("[data-sign-in]")) {
  link.addEventListener("click", () => {
    const { username, password } = link.dataset;
    sessionStorage.setItem("vestibule-sample", JSON.stringify({ username, password }));
  });
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

const codes = document.querySelectorAll("[data-code]");
if (codes.length) {
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const current = await (await fetch("/authenticator-codes")).json();
      for (const code of codes) code.textContent = current[code.dataset.code] ?? code.textContent;
    } catch {
      // The server has stopped; keep what is shown.
    }
  }, 2000);
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
