// Builds elements. Text is always set as text, never as HTML (Trusted Types enforce it).

/** Creates an element; properties that start with "on" are listeners, and false, null and undefined are left out. */
export function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "selected") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

/** Appends nodes and texts; nested lists are flattened, and empty ones are left out. */
export function append(parent, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === false || child === null || child === undefined || child === "") continue;
    parent.append(child);
  }
}

export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/** Focuses an element that normally can't be focused. */
export function focus(element) {
  if (!element.hasAttribute("tabindex") && !/^(A|BUTTON|INPUT|SELECT|TEXTAREA)$/.test(element.tagName)) {
    element.setAttribute("tabindex", "-1");
  }
  element.focus({ preventScroll: false });
}

let counter = 0;
/** Returns an id that no other element has. */
export function unique(name) {
  counter += 1;
  return `${name.replace(/[^a-z0-9]+/gi, "-")}-${counter}`;
}

/** A list of terms and descriptions; rows without a description are left out. */
export function facts(rows, actions = {}) {
  const shown = rows.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return h(
    "dl",
    { class: "facts" },
    shown.map(([term, value, action]) =>
      h("div", null, h("dt", null, term), h("dd", null, value), action ? h("dd", { class: "action" }, action) : null),
    ),
  );
}

/** A table that scrolls sideways on narrow screens. */
export function table(caption, heads, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      null,
      h("caption", { class: "hidden" }, caption),
      h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
      h(
        "tbody",
        null,
        rows.map((cells) =>
          h("tr", null, cells.map((cell, i) => h(i === 0 ? "th" : "td", i === 0 ? { scope: "row" } : { "data-label": heads[i] }, cell))),
        ),
      ),
    ),
  );
}

/** A text with more of it for people who hear the page, where the place says the rest to those who see it. */
export const named = (text, rest) => [text, h("span", { class: "hidden" }, ` ${rest}`)];

export function tag(text, kind = "") {
  return h("span", { class: `tag ${kind}` }, text);
}

/** A box with a message that is announced when it appears. */
export function notice(kind, title, ...children) {
  return h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, title ? h("p", { class: "notice-title" }, title) : null, children);
}
