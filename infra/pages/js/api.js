// The API of the portal. Its address follows from the address of this file, so it works below any prefix.

/** The folder of the pages, such as /group/app/. */
export const APP = new URL("../../../", import.meta.url);
/** The portal's API, such as /group/. */
export const API = new URL("../", APP);
/** The address of the portal itself, without the slash. */
export const PORTAL = API.href.replace(/\/$/, "");

/** What the API, or the lack of an answer, reports as a problem (RFC 9457). */
export class Problem extends Error {
  constructor(body) {
    super(body.detail);
    Object.assign(this, body);
    this.kind = String(body.type ?? "").replace("urn:vestibule:problem:", "");
    this.errors = body.errors ?? [];
  }
}

const LOST = {
  type: "connection-lost",
  status: 0,
  title: "The connection was lost",
  detail: "The connection was lost. Check your internet connection and try again; what you entered is still here.",
};

const ACTIVE = "vestibule-active";

/** Remembers the time of the last request, also for other tabs. The value is a time and nothing personal. */
function touch() {
  try {
    localStorage.setItem(ACTIVE, String(Date.now()));
  } catch {
    lastRequest = Date.now();
  }
}

let lastRequest = Date.now();

/** When the last request of any tab was sent, in milliseconds. */
export function lastActive() {
  try {
    return Number(localStorage.getItem(ACTIVE)) || lastRequest;
  } catch {
    return lastRequest;
  }
}

async function send(method, path, { body, csv, key } = {}) {
  const headers = { accept: "application/json" };
  let content;
  if (csv !== undefined) {
    headers["content-type"] = "text/csv";
    content = csv;
  } else if (body !== undefined) {
    headers["content-type"] = "application/json";
    content = JSON.stringify(body);
  }
  if (key) headers["idempotency-key"] = key;
  let response;
  try {
    response = await fetch(new URL(path, API), { method, headers, body: content, credentials: "same-origin" });
  } catch {
    throw new Problem(LOST);
  }
  touch();
  return response;
}

/** Sends a request and returns the decoded body; throws a Problem. */
export async function request(method, path, options) {
  const response = await send(method, path, options);
  const text = await response.text().catch(() => {
    throw new Problem(LOST);
  });
  let body;
  try {
    body = text ? JSON.parse(text) : undefined;
  } catch {
    body = undefined;
  }
  if (!response.ok) {
    const unknown = { status: response.status, title: "Something went wrong", detail: "Something went wrong. Try again in a minute." };
    const problem = new Problem(body?.detail ? body : unknown);
    problem.retryAfter = response.headers.get("retry-after");
    throw problem;
  }
  return body;
}

export const get = (path) => request("GET", path);
export const post = (path, body, key) => request("POST", path, { body, key });
export const put = (path, body) => request("PUT", path, { body });
export const patch = (path, body) => request("PATCH", path, { body });
export const remove = (path) => request("DELETE", path);
export const upload = (path, csv) => request("POST", path, { csv });

/** Downloads all parts of a file and hands it to the browser. */
export async function download(path, name, type) {
  const parts = [];
  let next = path;
  while (next) {
    const response = await send("GET", next);
    if (!response.ok) {
      const body = await response.json().catch(() => ({ status: response.status, detail: "The file could not be downloaded. Try again." }));
      throw new Problem(body);
    }
    parts.push(await response.blob());
    const link = /<([^>]+)>;\s*rel="?next/.exec(response.headers.get("link") ?? "");
    next = link ? new URL(link[1], response.url).href : null;
  }
  const url = URL.createObjectURL(new Blob(parts, { type }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A query string of the values that are set. */
export function query(values) {
  const set = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== "");
  const text = new URLSearchParams(set).toString();
  return text ? `?${text}` : "";
}

/** A page of a list, or of what a search in it finds. The text is in the body, so that no address contains it (PG-05). */
export const fetchList = (path, text, wanted) => (text ? post(`${path}/search`, { query: text, ...wanted }) : get(`${path}${query(wanted)}`));

/** A key for a request that must happen once. */
export const newKey = () => (crypto.randomUUID ? crypto.randomUUID() : [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16)).join(""));
