// Managing the users of an organization.

import { download, fetchList, get, post, put, query, remove } from "../api.js";
import { facts, h, notice, table, tag } from "../dom.js";
import { action, form } from "../form.js";
import { link, linkWith } from "../layout.js";
import { may, roleTitle, state, titleOf } from "../state.js";
import { REGISTRATION, STATUS, date, moment, nameFields, emailField, usernameField, words } from "../words.js";

/** As many users as the API returns at once. */
const PAGE = 100;
const at = (id, rest = "") => `users/${encodeURIComponent(id)}${rest}`;
const nameOf = (u) => `${u.first_name} ${u.last_name}`;

export function standing(u) {
  const tags = [];
  if (u.status !== "active") tags.push(tag(STATUS[u.status] ?? words(u.status), "bad"));
  if (u.registration !== "registered") tags.push(tag(REGISTRATION[u.registration] ?? words(u.registration), "warn"));
  if (u.email_undeliverable) tags.push(tag("Emails are returned", "bad"));
  if (u.concurrent_use_detected_at) tags.push(tag("Used from several places", "bad"));
  return tags.length ? tags : tag("Active", "good");
}

export async function list({ search }) {
  const { portal } = state;
  const filters = Object.fromEntries(["role", "registration", "status", "idle_days", "cursor"].map((k) => [k, search.get(k) ?? undefined]));
  // Names and addresses are not part of the page's address.
  const { searched } = history.state ?? {};
  const idle = filters.idle_days ? new Date(Date.now() - Number(filters.idle_days) * 86_400_000).toISOString() : undefined;
  const wanted = { role: filters.role, registration: filters.registration, status: filters.status, idle_since: idle, cursor: filters.cursor, limit: PAGE };
  const found = await fetchList("users", searched, wanted);
  const { items } = found;
  const seesSignIn = may("see_last_sign_in");
  const apply = ({ query: text, ...values }) => state.go(`users${query(values)}`, { searched: text });
  const heads = ["Name", "Username", "Role", "Status", ...(seesSignIn ? ["Last sign-in"] : [])];
  const filtered = searched || Object.values(filters).some(Boolean);
  const byInvitation = portal.staff_onboarding === "invitation";
  return {
    title: "Users",
    wide: true,
    body: [
      h("div", { class: "buttons" },
        may("add_users") ? (byInvitation ? link("invitations/new", "Invite a user", { class: "button primary" }) : link("users/add", "Add a user", { class: "button primary" })) : null,
        may("add_users") && byInvitation ? link("invitations/upload", "Upload a list") : null,
        may("add_users") && portal.staff_onboarding === "registration_code" ? link("users/upload", "Upload a list") : null),
      state.me.notices.includes("invite_backup") || administrators() === 1 ? h("p", { class: "soft" }, "Your organization has only one administrator. We recommend that you add a second one.") : null,
      row({
        fields: [
          { name: "query", label: "Search", hint: "Name, username or email address", optional: true },
          { name: "role", label: "Role", more: true, type: "select", options: portal.roles.map((r) => [r.id, r.title]), optional: true, empty: "All roles" },
          { name: "registration", label: "Registration", more: true, type: "select", options: Object.entries(REGISTRATION), optional: true, empty: "All" },
          { name: "status", label: "Account", more: true, type: "select", options: [["active", "Active"], ["disabled", "Disabled"]], optional: true, empty: "All" },
          seesSignIn ? { name: "idle_days", label: "No sign-in for", more: true, type: "select", options: [["30", "30 days"], ["90", "90 days"], ["180", "180 days"]], optional: true, empty: "Any time" } : null,
        ],
        values: { ...filters, query: searched },
        submit: "Search",
        send: apply,
      }),
      h("p", { role: "status" }, items.length === 0 ? "No users match." : `Showing ${items.length} ${items.length === 1 ? "user" : "users"}${filters.cursor || found.next_cursor ? " on this page" : ""}${items.length === 1 ? "" : ", administrators first, then by last name"}.`, filtered ? [" ", linkWith({}, "users", "Clear all filters")] : null),
      items.length
        ? h("div", { class: "stack" }, table("Users", heads, items.map((u) => [link(at(u.id), nameOf(u)), u.username, roleTitle(u.role), h("span", null, standing(u)), ...(seesSignIn ? [u.last_sign_in_at ? moment(u.last_sign_in_at) : "Never"] : [])])))
        : null,
      h("div", { class: "buttons" },
        filters.cursor ? linkWith({ searched }, `users${query({ ...filters, cursor: undefined })}`, "First page") : null,
        found.next_cursor ? linkWith({ searched }, `users${query({ ...filters, cursor: found.next_cursor })}`, "Next page", { class: "button" }) : null,
        may("download_users") ? action("Download all users (CSV)", () => download("users.csv", "users.csv", "text/csv")) : null),
    ],
  };
}

const administrators = () => state.me.organization?.administrators.length;

/** A form in one row, for searching. */
export function row(description) {
  const made = form({ ...description, fields: description.fields.map((f) => f && { ...f, bare: true }) });
  made.classList.add("row");
  const more = made.fields.filter((f) => f.d.more);
  if (more.length) {
    // On a phone, the results are more important than the filters that are not used.
    const open = more.some((f) => f.read()) || matchMedia("(min-width: 40rem)").matches;
    made.querySelector(".buttons").before(h("details", { open }, h("summary", null, "More filters"), h("div", { class: "filters" }, more.map((f) => f.element))));
  }
  made.setAttribute("role", "search");
  return made;
}

const serviceChoices = async () => {
  const entitled = await get("entitlements");
  return { services: state.portal.services.filter((s) => entitled.services.includes(s.id)), codes: entitled.group_codes };
};

const END_DATE = { name: "end_date", label: "Last day of access", hint: "Leave it empty if access has no end.", type: "date", optional: true, width: "w10" };

const roleField = (role) => {
  const ids = [...new Set([...(state.me.grantable_roles ?? []), ...(role ? [role] : [])])];
  return { name: "role", label: "Role", type: "radios", options: ids.map((id) => [id, roleTitle(id)]), missing: "Select a role." };
};

function accessFields({ services, codes }, user, withRole) {
  const held = state.portal.services.filter((s) => user?.services.includes(s.id) && !services.includes(s));
  const allCodes = [...new Set([...codes, ...(user?.group_codes ?? [])])];
  return [
    withRole ? roleField(user?.role) : null,
    state.portal.services.length ? { name: "services", label: "Services", type: "checkboxes", options: [...services, ...held].map((s) => [s.id, s.title]) } : null,
    state.portal.uses_group_codes && allCodes.length ? { name: "group_codes", label: "Group codes", type: "checkboxes", options: allCodes.map((c) => [c, c]) } : null,
    END_DATE,
  ].filter(Boolean);
}

export async function add() {
  const { portal } = state;
  if (portal.staff_onboarding === "invitation") return state.go("invitations/new", { replaceEntry: true });
  const initial = portal.staff_onboarding === "initial_password";
  const fields = [
    ...nameFields().map((f) => ({ ...f, autocomplete: "off" })),
    emailField({ autocomplete: "off" }),
    ...(initial && portal.username_chosen_by === "user" ? [{ ...usernameField(), autocomplete: "off", hint: `At least ${portal.username_min_length} characters` }] : []),
    ...(initial ? [{ name: "initial_password", label: "Initial password", hint: "Give it to the user in person or by phone. It has to be changed at the first sign-in.", type: "password", autocomplete: "new-password" }] : []),
    ...accessFields(await serviceChoices(), undefined, true),
  ];
  return {
    title: "Add a user",
    back: ["users", "Users"],
    body: [
      portal.staff_onboarding === "registration_code" ? h("p", null, "The user receives an email with a username and a registration code, and completes the registration with them.") : null,
      form({ fields, values: { role: "user" }, submit: "Add user", send: async (values, key) => {
        const user = await post("users", values, key);
        await state.goFresh("users", `${nameOf(user)} was added with the username ${user.username}.`);
      } }),
    ],
  };
}

export async function show({ params }) {
  const u = await get(at(params.id));
  const { portal } = state;
  const self = u.id === state.me.id;
  const act = (text, rest, message) => action(text, () => post(at(u.id, rest)), { done: () => state.refresh(message) });
  const waiting = u.registration === "awaiting_approval";
  const buttons = [
    waiting && may("approve_users") ? link(at(u.id, "/approve"), "Approve", { class: "button primary" }) : null,
    !waiting && may("edit_users") ? link(at(u.id, "/access"), "Change access", { class: "button" }) : null,
    u.status === "active" && may("disable_users") ? link(at(u.id, "/disable"), "Disable", { class: "button" }) : null,
    may("delete_users") ? link(at(u.id, "/remove"), "Remove", { class: "button" }) : null,
  ];
  const sends = may("reissue_codes") && u.status === "active"
    ? [
        u.registration === "pending" && portal.staff_onboarding === "registration_code" ? act("Send a new registration code", "/registration-code", `A new registration code was sent to ${nameOf(u)}. The earlier one no longer works.`) : null,
        u.registration !== "pending" || portal.staff_onboarding !== "registration_code" ? act("Send a link for a new password", "/password-reset", `A link for a new password was sent to ${nameOf(u)}.`) : null,
        portal.second_factor && u.registration === "registered" ? link(at(u.id, "/second-factor-reset"), "Reset second factors", { class: "button" }) : null,
        act("Send the username", "/username-reminder", `The username was sent to ${nameOf(u)}.`),
      ]
    : [];
  return {
    title: nameOf(u),
    back: ["users", "Users"],
    body: [
      h("p", null, standing(u)),
      u.concurrent_use_detected_at ? notice("warn", "Used from several places at once", h("p", null, `This account was in use from several places on ${moment(u.concurrent_use_detected_at)}. Everyone needs a username of their own.`)) : null,
      facts([
        ["Username", u.username],
        ["Email address", u.email],
        ["Role", roleTitle(u.role)],
        portal.services.length ? ["Services", u.services.map((s) => titleOf(portal.services, s)).join(", ") || "None"] : [],
        portal.uses_group_codes ? ["Group codes", u.group_codes.join(", ") || "None"] : [],
        ["Joined", moment(u.joined_at)],
        may("see_last_sign_in") ? ["Last sign-in", u.last_sign_in_at ? moment(u.last_sign_in_at) : "Never"] : [],
        ["Access ends", u.end_date ? date(u.end_date) : "No end date"],
      ]),
      self ? h("p", { class: "soft" }, "This is you. Another administrator can change your access.") : [
        h("div", { class: "buttons" }, buttons),
        u.status === "disabled" && may("disable_users") ? action("Reinstate", () => put(at(u.id, "/status"), { status: "active" }), { kind: "primary", done: () => state.refresh(`${nameOf(u)} can sign in again.`) }) : null,
        sends.some(Boolean) ? [h("h2", null, "Help with signing in"), h("p", { class: "soft" }, `Emails go to the address above.`), h("div", { class: "inlines" }, sends)] : null,
      ],
      may("see_audit") ? h("p", null, link(`audit-trail${query({ user_ids: u.id })}`, "Show the audit trail of this user")) : null,
    ],
  };
}

export async function approve({ params }) {
  const [u, choices] = await Promise.all([get(at(params.id)), serviceChoices()]);
  const fields = accessFields(choices, u, false);
  return {
    title: `Approve ${nameOf(u)}`,
    back: [at(u.id), nameOf(u)],
    body: [
      h("p", null, `Role: ${roleTitle(u.role)}. Assign what ${u.first_name} needs for work.`),
      form({ fields, values: { services: u.services, group_codes: u.group_codes, end_date: u.end_date }, submit: "Approve", send: async (values) => {
        await post(at(u.id, "/approval"), { services: [], ...values, end_date: values.end_date ?? null });
        await state.goFresh(at(u.id), `${nameOf(u)} was approved and has access now.`);
      } }),
    ],
  };
}

export async function access({ params }) {
  const [u, choices] = await Promise.all([get(at(params.id)), serviceChoices()]);
  return {
    title: `Change the access of ${nameOf(u)}`,
    back: [at(u.id), nameOf(u)],
    body: [
      h("p", null, "Changes take effect at the user's next click."),
      form({ fields: accessFields(choices, u, may("grant_roles")), values: { role: u.role, services: u.services, group_codes: u.group_codes, end_date: u.end_date }, submit: "Save access", send: async (values) => {
        await put(at(u.id, "/access"), { role: u.role, services: u.services, group_codes: u.group_codes, ...values, end_date: values.end_date ?? null });
        await state.goFresh(at(u.id), `The access of ${nameOf(u)} was changed.`);
      } }),
    ],
  };
}

export async function disable({ params }) {
  const u = await get(at(params.id));
  return {
    title: `Disable ${nameOf(u)}?`,
    back: [at(u.id), nameOf(u)],
    body: [
      h("p", null, `${nameOf(u)} (${u.username}) is signed out immediately and cannot sign in until you reinstate the account.`),
      form({ fields: [], submit: "Disable account", danger: true, cancel: { href: link(at(u.id), "").pathname }, send: async () => {
        await put(at(u.id, "/status"), { status: "disabled" });
        await state.goFresh(at(u.id), `${nameOf(u)} was disabled.`);
      } }),
    ],
  };
}

/** Starts a reset of lost second factors (MF-06). */
export async function resetFactors({ params }) {
  const u = await get(at(params.id));
  return {
    title: `Reset the second factors of ${nameOf(u)}?`,
    back: [at(u.id), nameOf(u)],
    body: [
      h("p", null, `Do this if ${nameOf(u)} lost a passkey or authenticator app and has no recovery code. Check by phone or in person that the request comes from ${u.first_name}.`),
      h("p", null, "The second factors stay until the user has confirmed the reset with the password and with what we send to the address on record."),
      form({ fields: [], submit: "Start the reset", danger: true, cancel: { href: link(at(u.id), "").pathname }, send: async () => {
        await post(at(u.id, "/second-factor-reset"));
        await state.go(at(u.id), { message: `A reset was started. ${nameOf(u)} was notified by email.` });
      } }),
    ],
  };
}

export async function removeUser({ params }) {
  const u = await get(at(params.id));
  return {
    title: `Remove ${nameOf(u)}?`,
    back: [at(u.id), nameOf(u)],
    body: [
      h("p", null, `${nameOf(u)} (${u.username}) loses access to ${state.me.organization?.name ?? "this organization"} immediately. This cannot be undone: to come back, the person has to join again.`),
      form({ fields: [], submit: "Remove user", danger: true, cancel: { href: link(at(u.id), "").pathname }, send: async () => {
        await remove(at(u.id));
        await state.goFresh("users", `${nameOf(u)} was removed.`);
      } }),
    ],
  };
}

export { END_DATE, roleField };
