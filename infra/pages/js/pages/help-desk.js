// The console of the help desk: find, understand, act, with a reason (PG-03).

import { get, post, put, query } from "../api.js";
import { facts, h, notice, table, tag } from "../dom.js";
import { form, nest } from "../form.js";
import { link } from "../layout.js";
import { may, roleTitle, state, titleOf } from "../state.js";
import { REGISTRATION, STATUS, addressFields, date, moment, words } from "../words.js";

const REASON = { name: "reason", label: "Reason", hint: "Why you act, such as the caller's request and how you checked who is calling. Don't include personal data.", type: "textarea", rows: 3, maxlength: 300, missing: "Enter a reason." };
const portalField = () => ({ name: "portal", label: "Portal", type: "select", options: state.portal.help_desk_for.map((p) => [p.id, p.title]), missing: "Select a portal." });
const base = (portal, id) => `accounts/${encodeURIComponent(portal)}/${encodeURIComponent(id)}`;
const described = new Map();

/** The description of another portal, loaded once. */
async function describe(portal) {
  if (!described.has(portal)) described.set(portal, await get(`../${encodeURIComponent(portal)}`));
  return described.get(portal);
}

/** What was searched for last; only in memory, because it is personal. */
let last;

const nameOf = (a) => `${a.first_name} ${a.last_name}`;

export function search() {
  const results = h("div", { "aria-live": "polite" });
  const show = (items) => {
    results.replaceChildren();
    results.append(
      h("h2", null, items.length === 1 ? "1 account" : `${items.length} accounts`),
      items.length
        ? h("div", { class: "stack" }, table("Accounts", ["Name", "Username", "Email address", "Status"], items.map((a) => [link(base(a.portal, a.id), nameOf(a)), a.username, a.email ?? "", a.status === "active" ? tag("Active", "good") : tag(STATUS[a.status] ?? words(a.status), "bad")])))
        : h("p", null, "No account matches exactly. Check the portal and the spelling with the caller."),
    );
  };
  const made = form({
    fields: [
      portalField(),
      { name: "by", label: "Search by", type: "radios", options: [["username", "Username"], ["email", "Email address"], ["number", "Number in the plan's records, such as an enrollee, agent, group or provider ID"]] },
      { name: "term", label: "Search for", hint: "Exact matches only", plain: true, missing: "Enter what to search for." },
    ],
    values: { by: "username", ...last?.values },
    submit: "Find account",
    send: async (values) => {
      const found = await post("accounts/search", { portal: values.portal, [values.by]: values.term }).catch((problem) => {
        problem.errors = (problem.errors ?? []).map((e) => (e.field === values.by ? { ...e, field: "term" } : e));
        throw problem;
      });
      last = { values, items: found.items };
      if (found.items.length === 1) return state.go(base(found.items[0].portal, found.items[0].id));
      show(found.items);
    },
  });
  if (last) show(last.items);
  return { title: "Find an account", body: [made, results, may("act_on_accounts") ? [h("h2", null, "Cannot register?"), h("p", null, "A caller who entered wrong information too often can register when you ", link("plan-records/unlock", "unlock the plan record"), ".")] : null] };
}

/** Clears the count of attempts to register with a record of the plan (SE-09). */
export function unlockRecord() {
  return {
    title: "Unlock a plan record",
    back: ["accounts", "Find an account"],
    body: [
      h("p", null, "After too many attempts, nobody can register with a record of the plan. Make sure that the caller made the attempts and is the person in the record, then unlock it."),
      form({
        fields: [
          portalField(),
          { name: "number", label: "Number in the plan's records", hint: "Such as an enrollee, agent, group or provider ID", plain: true, maxlength: 30, missing: "Enter the number." },
          REASON,
        ],
        submit: "Unlock",
        send: async (values) => {
          await post("plan-records/unlock", values);
          await state.go("accounts", { message: "The record is unlocked. The caller can register now." });
        },
      }),
    ],
  };
}

/** Each action: its title, what it does, further fields, and when it applies. */
const ACTIONS = {
  "password-reset": { title: "Send a link for a new password", about: "Emails a link to the address on record. All sessions end at once. Confirm the address with the caller first.", when: (a) => a.status === "active" },
  unlock: { title: "Unlock", about: "Clears the counters of failed passwords and answers, so that the caller can try again.", when: (a) => a.is_locked },
  secure: { title: "Secure this account", about: "Ends everything through which someone else may use the account: the password stops working, and sessions, reset links and unconfirmed email changes end. Send a link for a new password next.", fields: (a) => [{ name: "clear_security_answers", label: "Remove the security answers and the hint question as well", type: "checkbox" }, ...(a.has_second_factor ? [{ name: "clear_second_factors", label: "Remove the second factors as well", type: "checkbox" }] : [])], danger: true, when: (a) => a.status === "active" },
  "second-factor-reset": { title: "Reset second factors", about: "For a caller who lost them. They stay until the caller has confirmed the reset with the password and with what we send to the address on record.", organization: true, danger: true, when: (a) => a.status === "active" && a.has_second_factor && !a.second_factor_reset },
  pin: { title: "Mail a new PIN letter", about: "Mails a letter with a new PIN. The earlier PIN stops working.", organization: true, when: (a) => a.memberships.some((m) => m.letter || m.registration === "pending" && !m.registration_code_expires_on) },
  "registration-code": { title: "Send a new registration code", about: "Emails a new code. The earlier one stops working.", organization: true, when: (a, p) => p.staff_onboarding === "registration_code" && a.memberships.some((m) => m.registration_code_expires_on || m.registration === "pending") },
  reinstatement: { title: "Reinstate", about: "The disabled account can be used again.", when: (a) => a.status === "disabled" },
  username: { title: "Change the username", about: "The owner signs in with the new username from now on.", method: "PUT", fields: () => [{ name: "username", label: "New username", plain: true }], when: (a, p) => p.username_chosen_by === "user" && a.status === "active" },
  subscriptions: { title: "Change e-news subscriptions", about: "Until the account is activated, only the help desk changes them.", method: "PUT", fields: (a, p) => [{ name: "subscriptions", label: "Send", type: "checkboxes", options: p.publications.map((x) => [x.id, x.title]) }], values: (a) => ({ subscriptions: a.subscriptions }), when: (a, p) => p.publications.length > 0 && a.memberships.some((m) => m.registration === "pending") },
  "postal-address": { title: "Correct the postal address", about: "If a PIN is pending, a letter with a new PIN is mailed to the new address.", method: "PUT", fields: () => addressFields(), organization: true, when: (a, p) => p.registration_types.some((t) => t.requires_postal_address) },
  agreements: { title: "Record a signed agreement", about: "Record it when the signed form has arrived.", organization: true, fields: (a, p) => [{ name: "agreement", label: "Agreement", type: "radios", options: p.agreements.filter((g) => !g.is_accepted_on_portal).map((g) => [g.id, `${g.title}, revision ${g.revision}`]), missing: "Select the agreement." }], body: (values, p) => ({ ...values, revision: p.agreements.find((g) => g.id === values.agreement)?.revision }), when: (a, p) => p.agreements.some((g) => !g.is_accepted_on_portal) },
  invitation: { title: "Resend an invitation", about: "Sends an invitation of the caller's organization again. The earlier link stops working.", organization: true, fields: () => [{ name: "email", label: "Email address of the invited person", type: "email" }], when: (a, p) => p.staff_onboarding === "invitation" && a.memberships.some((m) => m.organization_id) },
  removal: { title: "Remove access", about: "The account loses access immediately. This cannot be undone.", organization: true, danger: true, when: () => true },
  "record-detachment": { title: "Undo the registration", about: "Use it when the account was registered with the wrong plan record. The record can then be registered again.", organization: true, danger: true, when: () => true },
};

export async function account({ params }) {
  const [a, p] = await Promise.all([get(base(params.portal, params.id)), describe(params.portal)]);
  const acts = may("act_on_accounts") && a.status !== "deleted" ? Object.entries(ACTIONS).filter(([, x]) => x.when(a, p)) : [];
  const here = base(a.portal, a.id);
  const organization = a.memberships.find((m) => m.organization_id);
  return {
    title: nameOf(a),
    back: ["accounts", "Find an account"],
    wide: true,
    body: [
      h("p", null, tag(p.title), " ", a.status === "active" ? tag("Active", "good") : tag(STATUS[a.status] ?? words(a.status), "bad"), " ", a.is_locked ? tag("Locked", "bad") : null, a.must_change_password ? tag("Must change the password", "warn") : null, a.email_undeliverable ? tag("Emails are returned", "bad") : null),
      h("h2", null, "Account"),
      facts([
        ["Username", a.username],
        ["Email address", a.email ? [a.email, h("div", { class: "hint" }, "Partly hidden. Ask the caller for the whole address.")] : undefined],
        ["Created", moment(a.created_at)],
        ["Last sign-in", a.last_sign_in_at ? moment(a.last_sign_in_at) : "Never"],
        ["Password changed", moment(a.password_changed_at)],
        ["Reset link valid until", moment(a.reset_link_expires_at)],
        ["Second factors", a.has_second_factor ? (a.second_factor_reset ? [tag("Reset started", "warn"), ` Waiting for the ${a.second_factor_reset.verification === "email" ? "link in the email" : "PIN in the letter"} until ${moment(a.second_factor_reset.expires_at)}`] : "Set up") : p.second_factor ? "None" : undefined],
        ["New email address", a.has_pending_email_change ? "Waiting for confirmation" : undefined],
        ["E-news", a.subscriptions.map((s) => titleOf(p.publications, s)).join(", ")],
      ]),
      a.memberships.map((m) => h("section", null, h("h2", null, m.organization ?? p.plan), facts([
        ["Role", roleTitle(m.role, p)],
        ["Registration", REGISTRATION[m.registration] ?? words(m.registration)],
        ["Since", moment(m.joined_at)],
        ["Access ends", date(m.end_date)],
        ["PIN letter", m.letter ? [words(m.letter.status), m.letter.issued_on ? `, issued ${date(m.letter.issued_on)}` : "", m.letter.arrives_by ? `, should arrive by ${date(m.letter.arrives_by)}` : ""] : undefined],
        ["Registration code until", date(m.registration_code_expires_on)],
        ["Missing agreement", m.missing_agreement ? titleOf(p.agreements, m.missing_agreement) : undefined],
        ["Must register again by", date(m.register_again?.cutoff_date)],
      ]))),
      acts.length ? [h("h2", null, "Actions"), h("ul", { class: "cards" }, acts.map(([id, x]) => h("li", null, link(`${here}/${id}`, x.title), h("p", null, x.about))))] : h("p", { class: "soft" }, may("act_on_accounts") ? "No action is possible on this account." : "You can view accounts and not change them."),
      h("p", null, may("search_audit") ? [link(`accounts/audit-trail${query({ portal: a.portal, user_ids: a.id })}`, "Show the audit trail of this account"), h("br")] : null, organization && p.staff_onboarding === "invitation" ? link(`${here}/invitations`, "Show pending invitations of the organization") : null),
    ],
  };
}

export async function act({ params }) {
  const x = ACTIONS[params.action];
  const [a, p] = await Promise.all([get(base(params.portal, params.id)), describe(params.portal)]);
  const here = base(a.portal, a.id);
  if (!x || !may("act_on_accounts")) return state.go(here, { replaceEntry: true });
  const organizations = a.memberships.filter((m) => m.organization_id);
  const fields = [
    ...(x.fields?.(a, p) ?? []),
    x.organization && organizations.length > 1 ? { name: "organization_id", label: "Organization", type: "radios", options: organizations.map((m) => [m.organization_id, m.organization]), missing: "Select an organization." } : null,
    REASON,
  ].filter(Boolean);
  return {
    title: `${x.title}: ${nameOf(a)}`,
    back: [here, nameOf(a)],
    body: [
      h("p", null, x.about),
      form({
        fields,
        values: x.values?.(a) ?? {},
        submit: x.title,
        danger: x.danger,
        cancel: { href: link(here, "").pathname },
        send: async (values) => {
          let body = nest(x.body ? x.body(values, p) : values);
          if (body.postal_address) body.postal_address.lines = body.postal_address.lines.filter(Boolean);
          await (x.method === "PUT" ? put : post)(`${here}/${params.action}`, body);
          await state.go(here, { message: `Done: ${x.title.toLowerCase()}. The owner was notified by email.` });
        },
      }),
    ],
  };
}

export async function invitations({ params, search }) {
  const found = await get(`${base(params.portal, params.id)}/invitations${query({ cursor: search.get("cursor") })}`);
  const here = base(params.portal, params.id);
  return {
    title: "Invitations of the organization",
    back: [here, "Account"],
    wide: true,
    body: [
      found.items.length
        ? table("Invitations", ["Name", "Email address", "Status", "Sent", "Valid until"], found.items.map((i) => [`${i.first_name} ${i.last_name}`, i.email ?? "", words(i.status), moment(i.sent_at), moment(i.expires_at)]))
        : h("p", null, "No invitation is pending."),
      may("act_on_accounts") ? link(`${here}/invitation`, "Resend an invitation", { class: "button" }) : null,
      found.next_cursor ? link(`${here}/invitations${query({ cursor: found.next_cursor })}`, "Next page") : null,
    ],
  };
}

export { notice };
