// The start page, services and feedback.

import { get, post } from "../api.js";
import { h, notice } from "../dom.js";
import { form } from "../form.js";
import { destinations, link } from "../layout.js";
import { may, state, titleOf } from "../state.js";
import { date } from "../words.js";

export function home() {
  const { portal, me } = state;
  if (!me) return welcome(portal);
  if (me.next_step) return state.go("next", { replaceEntry: true });
  return start();
}

function welcome(portal) {
  const byCode = portal.staff_onboarding === "registration_code";
  const card = (path, title, text) => h("li", null, link(path, title), h("p", null, text));
  const invited = portal.staff_onboarding === "invitation" ? "If someone invited you, use the link in the invitation email instead." : "";
  return {
    title: portal.title,
    body: [
      h("div", { class: "buttons" }, link("sign-in", "Sign in", { class: "button primary" }), portal.registration_types.length ? link("register", "Register now", { class: "button" }) : null),
      portal.registration_types.length && invited ? h("p", null, invited) : null,
      byCode ? [h("h2", null, "Added by an administrator?"), h("p", null, "You received a registration code by email. ", link("registration-code", "Enter your registration code"), ".")] : null,
      h("h2", null, "Cannot sign in?"),
      h("ul", { class: "cards" }, card("forgot-password", "I forgot my password", "Choose a new one."), card("forgot-username", "I forgot my username", portal.forgot_username.length ? "Get it back." : "Find out whom to call.")),
    ],
  };
}

async function start() {
  const { portal, me } = state;
  const entitled = portal.services.length ? await get("entitlements") : { services: [], group_codes: [] };
  const services = portal.services.filter((s) => entitled.services.includes(s.id));
  const others = destinations().filter(([path]) => path !== "" && path !== "profile");
  return {
    title: `Hello, ${me.first_name}`,
    wide: true,
    body: [
      notices(),
      me.organization ? h("p", { class: "lead" }, `You are working for ${me.organization.name} as ${me.organization.role_title}.`, me.organizations.length > 1 ? [" ", link("organizations", "Switch organization")] : null) : null,
      portal.services.length ? [h("h2", null, "Services"), services.length ? h("ul", { class: "cards" }, services.map((s) => h("li", null, link(`services/${s.id}`, s.title)))) : h("p", null, "No services are assigned to you. Ask one of your administrators.")] : null,
      entitled.group_codes.length ? h("p", null, `Group codes: ${entitled.group_codes.join(", ")}`) : null,
      others.length ? [h("h2", null, may("find_accounts") ? "Help desk" : "Manage"), h("ul", { class: "cards" }, others.map(([path, text]) => h("li", null, link(path, text), h("p", null, ABOUT[path] ?? ""))))] : null,
      h("h2", null, "Your account"),
      h("ul", { class: "cards" }, h("li", null, link("profile", "My profile"), h("p", null, "Name, email, password, sessions and what happened on your account.")), portal.accepts_feedback ? h("li", null, link("feedback", "Send feedback"), h("p", null, "Tell us what you think about this site.")) : null),
    ],
  };
}

const ABOUT = {
  users: "Who has access, what they can do, and when they last signed in.",
  invitations: "Invite people and see who has not answered.",
  "access-review": "Confirm or remove each account.",
  agents: "Find the IDs of the agents under you.",
  "audit-trail": "Who did what, when, and from where.",
  accounts: "Find a caller's account and help.",
  "accounts/audit-trail": "What happened on the portals that you serve.",
};

/** What the portal asks of the person now. */
export function notices() {
  const { me } = state;
  const shown = [];
  if (me.notices.includes("invite_backup")) {
    const path = state.portal.staff_onboarding === "invitation" ? "invitations/new" : "users/add";
    shown.push(notice("warn", "Your organization has only one administrator", h("p", null, "Add a backup with the same rights, so that someone can help when you are away. ", link(path, "Add a backup administrator"))));
  }
  if (me.register_again) {
    const { access_end_date: ends, cutoff_date: cutoff } = me.register_again;
    shown.push(notice("warn", "Register again", h("p", null, `You keep your access until ${date(ends)}. Register again by ${date(cutoff)}. `, link("register-again", "Register again now"))));
  }
  if (me.email_undeliverable) {
    shown.push(notice("warn", "Our emails do not reach you", h("p", null, `Emails to ${me.email} were returned. `, link("profile/email", "Check your email address"))));
  }
  if (me.password_expires_at) {
    const days = Math.floor((new Date(me.password_expires_at) - Date.now()) / 86_400_000);
    if (days <= 14) shown.push(notice("warn", "Your password expires soon", h("p", null, `It expires on ${date(me.password_expires_at.slice(0, 10))}. `, link("profile/password", "Change your password"))));
  }
  return shown;
}

export async function service({ params }) {
  const title = titleOf(state.portal.services, params.id);
  await get(`entitlements?service=${encodeURIComponent(params.id)}`);
  return {
    title,
    back: ["", "Home"],
    body: [h("p", null, `You have access to ${title}${state.me.organization ? ` for ${state.me.organization.name}` : ""}.`), h("p", null, `${state.portal.plan} opens the application for this service here.`)],
  };
}

export function feedback() {
  return {
    title: "Send feedback",
    back: ["", "Home"],
    body: [
      h("p", null, `Your message goes to ${state.portal.help_desk.name}. Don't include passwords, PINs or health information.`),
      form({
        fields: [{ name: "message", label: "Your feedback", type: "textarea", maxlength: 4000, missing: "Enter your feedback." }],
        submit: "Send feedback",
        send: async (values, key) => {
          await post("feedback", values, key);
          await state.go("", { message: "Your feedback was sent. Thank you." });
        },
      }),
    ],
  };
}
