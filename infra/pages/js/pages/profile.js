// The profile: everything that people change and see about themselves (BL-11, BL-12, UX-05, AG-15, EX-14).

import { get, patch, put, query, remove } from "../api.js";
import { facts, h, named, notice, table, tag } from "../dom.js";
import { action, form, nest } from "../form.js";
import { link, page, phone } from "../layout.js";
import { state, titleOf } from "../state.js";
import { REGISTRATION, actionTitle, date, hintFields, moment, nameFields, newPassword, securityFields, words } from "../words.js";
import { agreement, managers } from "./steps.js";

const BACK = ["profile", "My profile"];
const change = (path, what) => link(path, named("Change", what));

const show = (path, what) => link(`profile/${path}`, named("Show", what));

export function profile() {
  const { me, portal } = state;
  const full = !me.next_step;
  const o = me.organization;
  const renamed = portal.username_chosen_by === "user" ? [`Only ${portal.help_desk.name} can change it: `, phone(portal.help_desk)] : "Generated for you; it cannot be changed";
  return {
    title: "My profile",
    back: full ? ["", "Home"] : ["next", "Continue where you were"],
    body: [
      h("h2", null, "Personal information"),
      facts([
        ["Name", `${me.first_name} ${me.last_name}`, full && change("profile/name", "name")],
        ["Username", [me.username, h("div", { class: "hint" }, renamed)]],
        ["Email address", [me.email, me.unconfirmed_email ? h("div", { class: "hint" }, `Waiting for confirmation: ${me.unconfirmed_email}`) : null, me.email_undeliverable ? h("div", null, tag("Emails are returned", "bad")) : null], change("profile/email", "email address")],
      ]),
      h("h2", null, "Signing in"),
      facts([
        ["Password", me.password_expires_at ? `Expires on ${date(me.password_expires_at.slice(0, 10))}` : "Set", change("profile/password", "password")],
        portal.hint_question ? ["Hint question", me.hint?.question ?? "Not set", full && change("profile/hint", "hint question")] : [],
        portal.security_questions_required ? ["Security questions", `${portal.security_questions_required} questions`, full && change("profile/security-questions", "security questions")] : [],
        portal.second_factor ? ["Second factors", "Passkeys, authenticator apps and recovery codes", show("second-factors", "second factors")] : [],
        ["Sessions", "Where you are signed in", show("sessions", "sessions")],
        ["Activity", "What happened on your account", show("activity", "activity")],
      ]),
      me.organizations.length || portal.registration_types.length && portal.staff_onboarding
        ? [
            h("h2", null, "Organizations"),
            me.organizations.length
              ? h("ul", null, me.organizations.map((x) => h("li", null, `${x.name}, ${x.role_title} `, x.is_current ? tag("Current") : null, x.registration !== "registered" ? tag(REGISTRATION[x.registration] ?? words(x.registration), "warn") : null)))
              : null,
            h("p", null, me.organizations.length > 1 ? [link("organizations", "Switch organization"), h("br")] : null, portal.registration_types.length && portal.staff_onboarding ? link("profile/organizations/add", "Register for another organization") : null),
            o?.end_date ? h("p", null, `Your access to ${o.name} ends on ${date(o.end_date)}.`) : null,
          ]
        : null,
      managers(),
      full
        ? [
            h("h2", null, "Preferences"),
            facts([
              portal.publications.length ? ["E-news", me.subscriptions.map((s) => titleOf(portal.publications, s)).join(", ") || "None", change("profile/subscriptions", "e-news subscriptions")] : [],
              ["My links", me.links.length ? h("ul", null, me.links.map((l) => h("li", null, h("a", { href: l.url, target: "_blank", rel: "noopener noreferrer" }, l.title)))) : "None", change("profile/links", "links")],
              portal.agreements.length ? ["Agreements", "What you and your organization signed", show("agreements", "agreements")] : [],
            ]),
          ]
        : null,
    ],
  };
}

const saved = (text) => state.goFresh("profile", text);

export function name() {
  return { title: "Change your name", back: BACK, body: [form({ fields: nameFields(), values: state.me, submit: "Save name", cancel: { href: page("profile") }, send: async (values) => {
    await patch("me", values);
    await saved("Your name was changed.");
  } })] };
}

export function email() {
  const { me } = state;
  return {
    title: "Change your email address",
    back: BACK,
    body: [
      me.unconfirmed_email
        ? notice("warn", "Waiting for confirmation", h("p", null, `We sent a link to ${me.unconfirmed_email}. Your address changes when you open it.`), action("Cancel the change", () => remove("me/email"), { done: () => saved("The change was canceled.") }))
        : null,
      h("p", null, `Your current address is ${me.email}. We send a link to the new address, and a notice to the current one.`),
      form({ fields: [{ name: "email", label: "New email address", type: "email", autocomplete: "email" }, { name: "password", label: "Password", type: "password", autocomplete: "current-password" }], submit: "Send confirmation link", send: async (values) => {
        await put("me/email", values);
        await saved(`We sent a link to ${values.email}. Open it to confirm the address.`);
      } }),
    ],
  };
}

export function password() {
  return { title: "Change your password", back: BACK, body: [h("p", null, "This ends all your other sessions."), form({ fields: [{ name: "current_password", label: "Current password", type: "password", autocomplete: "current-password" }, newPassword("new_password", "New password")], submit: "Change password", send: async (values) => {
    await put("sessions/current/password", values);
    await saved("Your password was changed and all your other sessions have ended.");
  } })] };
}

const confirmPassword = { name: "password", label: "Your password", hint: "To confirm that it is you", type: "password", autocomplete: "current-password", missing: "Enter your password." };

export function hint() {
  return { title: "Change your hint question", back: BACK, body: [form({ fields: [...hintFields(), confirmPassword], values: { "hint.question": state.me.hint?.question }, submit: "Save hint question", send: async (values) => {
    await patch("me", nest(values));
    await saved("Your hint question was changed.");
  } })] };
}

export function questions() {
  return { title: "Change your security questions", back: BACK, body: [form({ fields: [...securityFields(), confirmPassword], submit: "Save security questions", send: async (values) => {
    await patch("me", nest(values));
    await saved("Your security questions were changed.");
  } })] };
}

export function links() {
  const { me } = state;
  const adding = form({
    fields: [{ name: "title", label: "Title", maxlength: 60 }, { name: "url", label: "Address", hint: "For example, https://www.example.com", type: "url", maxlength: 500 }],
    submit: "Add link",
    send: async (values) => {
      await patch("me", { links: [...me.links, values] }).catch((problem) => {
        problem.errors = (problem.errors ?? []).map((e) => ({ ...e, field: e.field.split(".").pop() }));
        throw problem;
      });
      await state.refresh("The link was added.");
    },
  });
  return {
    title: "My links",
    back: BACK,
    body: [
      h("p", null, "Links that you use often. Only you see them."),
      me.links.length ? h("ul", null, me.links.map((l, i) => h("li", null, h("a", { href: l.url, target: "_blank", rel: "noopener noreferrer" }, l.title), " ", action(`Remove ${l.title}`, () => patch("me", { links: me.links.filter((_, j) => j !== i) }), { done: () => state.refresh("The link was removed.") })))) : h("p", null, "You have no links yet."),
      h("h2", null, "Add a link"),
      adding,
    ],
  };
}

export function subscriptions() {
  const { portal, me } = state;
  return { title: "E-news subscriptions", back: BACK, body: [form({ fields: [{ name: "subscriptions", label: "Send me", type: "checkboxes", options: portal.publications.map((p) => [p.id, p.title]) }], values: { subscriptions: me.subscriptions }, submit: "Save subscriptions", send: async (values) => {
    await patch("me", values);
    await saved("Your subscriptions were changed.");
  } })] };
}

export async function sessions() {
  const { items } = await get("sessions");
  return {
    title: "Your sessions",
    back: BACK,
    body: [
      h("p", null, "These are the places where you are signed in. End a session that you do not recognize, and change your password."),
      items.map((s) =>
        h("section", null,
          h("h2", null, s.source ? `From ${s.source}` : "Unknown place", " ", s.is_current ? tag("This session", "good") : null),
          facts([["Signed in", moment(s.started_at)], ["Last used", moment(s.last_seen_at)], ["Ends", moment(s.expires_at)]]),
          s.is_current ? h("p", null, link("sign-out", "Sign out")) : action(named("End session", `from ${s.source ?? "an unknown place"}, last used ${moment(s.last_seen_at)}`), () => remove(`sessions/${s.id}`), { done: () => state.refresh("The session has ended.") })),
      ),
    ],
  };
}

export async function activity({ search }) {
  const found = await get(`me/activity${query({ cursor: search.get("cursor") })}`);
  const who = { self: "You", you: "You" };
  return {
    title: "Activity on your account",
    back: BACK,
    wide: true,
    body: [
      h("p", null, "What happened on your account in the last 90 days. If you do not recognize something, change your password and call the help desk."),
      found.items.length
        ? h("div", { class: "stack" }, table("Activity", ["When", "What", "By", "Result", "From"], found.items.map((a) => [moment(a.occurred_at), actionTitle(a.action), who[a.actor] ?? words(a.actor), a.outcome === "refused" ? tag("Refused", "bad") : "Done", a.source ?? ""])))
        : h("p", null, "Nothing happened yet."),
      found.next_cursor ? link(`profile/activity${query({ cursor: found.next_cursor })}`, "Show earlier activity") : null,
    ],
  };
}

export async function agreements() {
  const { items } = await get("me/agreements");
  return { title: "Agreements", back: BACK, body: [items.length ? items.map((a) => agreement(a, true, () => state.refresh("The agreement was accepted."))) : h("p", null, "No agreement applies to you.")] };
}
