// The frame of every page: header, navigation, help.

import { API, APP } from "./api.js";
import { h } from "./dom.js";
import { may, state } from "./state.js";

/** The address of a page of this portal. */
export const page = (path = "") => {
  const url = new URL(path, APP);
  return url.pathname + url.search;
};

/** A link to a page. */
export const link = (path, text, properties) => h("a", { href: page(path), ...properties }, text);

/** A link whose history entry contains something personal, which is kept out of the address (PG-05). */
export function linkWith(entry, path, text, properties) {
  const made = link(path, text, properties);
  made.entry = entry;
  return made;
}

/** What the person can go to. */
export function destinations() {
  const { portal, me } = state;
  if (!me || me.next_step) return [];
  const byInvitation = portal.staff_onboarding === "invitation";
  return [
    ["", "Home"],
    may("find_accounts") && ["accounts", "Find an account"],
    may("search_audit") && ["accounts/audit-trail", "Portal audit trails"],
    may("list_users") && ["users", "Users"],
    may("add_users") && byInvitation && ["invitations", "Invitations"],
    may("review_access") && portal.reviews_access && ["access-review", "Access review"],
    may("look_up_agents") && ["agents", "Agents"],
    may("see_audit") && ["audit-trail", "Audit trail"],
    ["profile", "My profile"],
  ].filter(Boolean);
}

/** Black or white, whichever is more readable on a color (WCAG 2.2, contrast ratio). */
function readable(color) {
  const parts = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16) / 255);
  const [r, g, b] = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? "#fff" : "#000";
}

export function brand() {
  const color = state.portal.brand?.color;
  if (!color) return;
  document.documentElement.style.setProperty("--brand", color);
  document.documentElement.style.setProperty("--on-brand", readable(color));
}

function here(path, current) {
  return path === "" ? current === "" : current === path || current.startsWith(`${path}/`);
}

export function header(current) {
  const { portal, me } = state;
  const items = destinations();
  const closest = items.map(([p]) => p).filter((p) => here(p, current)).sort((a, b) => b.length - a.length)[0];
  return h(
    "header",
    { class: "top" },
    h("div", { class: "band" }, h("div", { class: "wide" },
      h("a", { class: "brand", href: page("") }, portal.brand?.logo ? h("img", { class: "logo", src: portal.brand.logo, alt: portal.plan, height: 40 }) : null, portal.title),
      me ? h("div", { class: "who" }, me.next_step ? null : h("span", null, `${me.first_name} ${me.last_name}`), link("sign-out", "Sign out")) : link("sign-in", "Sign in"))),
    items.length
      ? h("nav", { "aria-label": "Main" }, h("ul", { class: "wide" }, items.map(([path, text]) => h("li", null, link(path, text, { "aria-current": path === closest ? "page" : null })))))
      : null,
  );
}

export function phone(help) {
  return h("a", { href: `tel:${help.phone.replace(/[^\d+]/g, "")}` }, help.phone);
}

export function footer() {
  const { portal, me } = state;
  const help = portal.help_desk;
  return h(
    "footer",
    null,
    h(
      "div",
      { class: "wide" },
      h("section", { "aria-labelledby": "help" }, h("h2", { id: "help" }, "Need help?"), h("p", null, `Call ${help.name} at `, phone(help), `. ${help.hours}.`),
        me && !me.next_step && portal.accepts_feedback ? h("p", null, link("feedback", "Send feedback about this site")) : null),
      h("p", { class: "soft" }, `${portal.title} is a service of ${portal.plan}.`),
    ),
  );
}

export { API };
