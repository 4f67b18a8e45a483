// Registration, invitations and registration codes: one question or topic per page, with a review at the end.

import { Problem, get, post } from "../api.js";
import { facts, h, notice } from "../dom.js";
import { asSentence, form, nest } from "../form.js";
import { link, page } from "../layout.js";
import { state } from "../state.js";
import { addressFields, date, emailField, hintFields, moment, nameFields, newPassword, securityFields, usernameField, verificationFields } from "../words.js";

/** What was entered so far, by wizard; only in memory. */
const drafts = new Map();

/** Shows the current page of a series of pages. The number of the page is in the history entry, so Back works. */
function wizard({ id, title, pages, submit, send, aside, startOver = true }) {
  const draft = drafts.get(id) ?? { values: {} };
  drafts.set(id, draft);
  let at = history.state?.step ?? 0;
  if (at > (draft.reached ?? 0)) at = draft.reached ?? 0;
  at = Math.min(at, pages.length);
  const path = location.pathname;
  const move = (to) => {
    draft.reached = Math.max(draft.reached ?? 0, to);
    history.pushState({ ...history.state, step: to }, "", path);
    return state.show();
  };
  const failed = draft.failed;
  draft.failed = undefined;
  const last = at === pages.length;
  const count = `Step ${at + 1} of ${pages.length + 1}`;
  const pageOf = (field) => pages.findIndex((p) => p.fields.some((f) => f.name && (f.name === field || field.startsWith(`${f.name}.`) || f.name.startsWith(`${field}.`) || f.name.startsWith(`${field}[`))));
  const failAt = (problem) => {
    const index = problem.errors.map((e) => pageOf(e.field)).filter((i) => i >= 0).sort((a, b) => a - b)[0];
    if (index === undefined || index === at) return false;
    draft.failed = problem;
    move(index);
    return true;
  };
  if (!last) {
    const here = pages[at];
    const made = form({
      fields: here.fields,
      values: draft.values,
      submit: draft.editing ? "Save and review" : "Continue",
      send: async (values) => {
        Object.assign(draft.values, values);
        const to = draft.editing ? pages.length : at + 1;
        draft.editing = false;
        await move(to);
      },
    });
    return {
      title: here.title,
      body: [h("p", { class: "soft" }, `${title}. ${count}`), at === 0 ? aside : null, here.intro, made],
      ready: () => {
        if (!failed) return;
        const found = failed.errors.map((e) => [made.fields.find((f) => f.name === e.field || f.name.startsWith(`${e.field}.`) || f.name.startsWith(`${e.field}[`) || e.field.startsWith(`${f.name}.`)), e]).filter(([f]) => f).map(([f, e]) => [f, asSentence(f.d.label, e.detail)]);
        made.show(failed, found);
      },
    };
  }
  const change = (index, text) =>
    h("a", { href: path, onclick: (event) => {
      event.preventDefault();
      draft.editing = true;
      move(index);
    } }, "Change", h("span", { class: "hidden" }, ` ${text.toLowerCase()}`));
  const rows = pages.flatMap((p, index) => p.fields.filter((f) => f.name && draft.values[f.name] !== undefined && f.type !== "checkbox").map((f) => [f.label, shown(f, draft.values[f.name]), change(index, f.label)]));
  const consents = pages.consents ?? [];
  return {
    title: "Check what you entered",
    body: [
      h("p", { class: "soft" }, `${title}. ${count}`),
      facts(rows),
      form({
        fields: consents,
        submit,
        failAt,
        send: async (values, key) => {
          await send({ ...draft.values, ...values }, key);
        },
      }),
    ],
  };
}

const shown = (field, value) => {
  if (field.type === "password") return "Not shown";
  if (field.type === "birth-date") return date(value);
  if (field.type === "select") return field.options.find(([id]) => id === value)?.[1] ?? value;
  return value;
};

/** The page on which a person chooses how to sign in. */
function credentials() {
  const { portal } = state;
  const pages = [{ title: portal.username_chosen_by === "user" ? "Choose a username and password" : "Choose a password", fields: [portal.username_chosen_by === "user" ? usernameField() : null, newPassword()].filter(Boolean), intro: portal.username_chosen_by === "user" ? null : h("p", null, "Your username is generated for you and shown when you have registered.") }];
  if (portal.hint_question) pages.push({ title: "Set a hint question", fields: hintFields() });
  if (portal.security_questions_required) pages.push({ title: "Set security questions", intro: h("p", null, "If you forget your username or password, we ask you these questions. Choose answers that nobody can guess or look up."), fields: securityFields() });
  return pages;
}

const agreementConsents = (ids) =>
  state.portal.agreements.filter((a) => ids.includes(a.id) && a.is_accepted_on_portal).flatMap((a) => [
    h("p", null, h("a", { href: a.form_url, target: "_blank", rel: "noopener" }, `Read the ${a.title} (opens in a new tab)`)),
    { name: `accepted.${a.id}`, label: `I have read and accept the ${a.title}`, type: "checkbox", required: true, missing: `Read and accept the ${a.title}.` },
  ]);

const paperAgreements = (ids) =>
  state.portal.agreements.filter((a) => ids.includes(a.id) && !a.is_accepted_on_portal).map((a) =>
    notice("warn", `You need the ${a.title}`, h("p", null, "Download the form, have a person with signing authority sign it, and send it to us. You can register before that. ", h("a", { href: a.form_url, target: "_blank", rel: "noopener" }, `Download the ${a.title} (opens in a new tab)`))));

/** Replaces the checkboxes of agreements by what the API expects. */
function body(values) {
  const accepted = {};
  const rest = {};
  for (const [name, value] of Object.entries(values)) {
    if (name.startsWith("accepted.")) accepted[name.slice(9)] = state.portal.agreements.find((a) => a.id === name.slice(9)).revision;
    else rest[name] = value;
  }
  const made = nest(rest);
  if (made.postal_address) made.postal_address.lines = made.postal_address.lines.filter(Boolean);
  if (Object.keys(accepted).length) made.accepted_agreements = accepted;
  return made;
}

const signing = (type) => (type.requires_signing_authority ? [{ name: "attests_signing_authority", label: "I have the authority to sign for my organization", type: "checkbox", required: true, missing: "Confirm that you have signing authority." }] : []);

export function chooseType() {
  const types = state.portal.registration_types;
  if (types.length === 1) return state.go(`register/${types[0].id}`, { replaceEntry: true });
  if (!types.length) return { title: "Register", body: [h("p", null, "You register with the link in your invitation email. If you have none, ask an administrator to invite you.")] };
  return {
    title: "How do you want to register?",
    body: [
      form({
        fields: [{ name: "type", label: "I register as", type: "radios", options: types.map((t) => [t.id, t.title]), missing: "Select how you want to register." }],
        submit: "Continue",
        send: async ({ type }) => state.go(`register/${type}`),
      }),
      existing(),
    ],
  };
}

const existing = () => (state.portal.staff_onboarding ? h("p", null, "Do you already have a username on this portal? ", link("profile/organizations/add", "Sign in and add the organization"), " instead.") : null);

export function register({ params }) {
  const type = state.portal.registration_types.find((t) => t.id === params.type);
  if (!type) return { title: "Page not found", body: [h("p", null, link("register", "Register"))] };
  const pages = [
    { title: `Find your record`, intro: h("p", null, "Enter this information exactly as it is in the plan's records."), fields: verificationFields(type) },
    { title: "Who are you?", fields: [...nameFields(), emailField({ hint: "We send you messages about your account here." })] },
    ...(type.requires_postal_address ? [{ title: "Where should we mail your PIN?", intro: h("p", null, "We mail a letter with a PIN to this address. You activate your account with it."), fields: addressFields() }] : []),
    ...credentials(),
  ];
  pages.consents = [...agreementConsents(type.agreements), ...signing(type)];
  return wizard({
    id: `register/${type.id}`,
    title: `Register: ${type.title}`,
    pages,
    submit: "Register",
    aside: [paperAgreements(type.agreements), state.portal.registration_types.length === 1 ? existing() : null],
    send: async (values) => {
      const answer = await post("registrations", body({ ...values, registration_type: type.id }));
      await welcome(answer, values.password, `register/${type.id}`);
    },
  });
}

/** Signs the new user in and shows the username. */
async function welcome(answer, password, id) {
  drafts.delete(id);
  await post("sessions", { username: answer.username, password });
  const generated = state.portal.username_chosen_by === "system";
  history.replaceState({}, "", location.pathname);
  await state.signedIn(generated ? `You are registered. Your username is ${answer.username}. Write it down; you need it to sign in.` : "You are registered.");
}

/** Reads the token of a link and removes it from the address bar, so that it isn't copied, logged or bookmarked. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token) {
    history.replaceState({ ...history.state, token }, "", location.pathname);
  }
  return history.state?.token;
}

export const brokenLink = (title) => ({
  title,
  body: [h("p", null, "This link is not complete. Copy the whole link from the email into the address bar, or open it from the email again.")],
});

export async function acceptInvitation() {
  const token = takeToken();
  if (!token) return brokenLink("Accept your invitation");
  const invitation = await post("invitations/look-up", { token });
  const intro = facts([["Organization", invitation.organization], ["Invited by", invitation.inviter], ["Role", state.portal.roles?.find((r) => r.id === invitation.role)?.title ?? invitation.role], ["Valid until", moment(invitation.expires_at)]]);
  if (state.me) {
    return {
      title: `Join ${invitation.organization}`,
      body: [
        intro,
        form({
          fields: [h("p", null, `You are signed in as ${state.me.username}. Joining adds the organization to this username.`)],
          submit: "Join with this username",
          send: async (_, key) => {
            const answer = await post("me/invitations", { token }, key);
            history.replaceState({}, "", location.pathname);
            await joined(answer, invitation.organization);
          },
        }),
      ],
    };
  }
  const id = `invitation/${token}`;
  if (!drafts.has(id)) drafts.set(id, { values: { first_name: invitation.first_name, last_name: invitation.last_name, email: invitation.email } });
  const pages = [{ title: `You are invited to ${invitation.organization}`, intro: h("p", null, "Check your name. The email address has to be the one that was invited."), fields: [...nameFields(), emailField()] }, ...credentials()];
  return wizard({
    id,
    title: "Accept your invitation",
    pages,
    submit: "Register",
    aside: [
      intro,
      h("p", null, "Do you already have a username on this portal? ", h("a", { href: page("sign-in"), onclick: (event) => {
        event.preventDefault();
        state.go("sign-in", { returnTo: "invitations/accept", token });
      } }, "Sign in and join with it"), "."),
    ],
    send: async (values) => {
      const answer = await post("invitations/accept", nest({ ...values, token }));
      await welcome(answer, values.password, id);
    },
  });
}

async function joined(answer, name, message = `You joined ${name}.`) {
  await state.switchTo(answer.organization_id);
  await state.restart(message);
}

export function redeemCode() {
  const pages = [
    { title: "Enter your registration code", intro: h("p", null, "Your username and the code are in the email that we sent you."), fields: [
      { name: "username", label: "Username", autocomplete: "username", plain: true },
      { name: "registration_code", label: "Registration code", hint: "For example, RC123456", autocomplete: "one-time-code", plain: true, width: "w10", maxlength: 40 },
    ] },
    ...credentials().map((p) => ({ ...p, intro: null, fields: p.fields.filter((f) => f.name !== "username") })),
  ];
  pages[1].title = "Choose a password";
  return wizard({
    id: "registration-code",
    title: "Complete your registration",
    pages,
    submit: "Complete registration",
    send: async (values) => {
      const answer = await post("registration-codes/redemption", nest(values));
      await welcome(answer, values.password, "registration-code");
    },
  });
}

/** Registers the signed-in person for another organization (BL-01, EX-13). */
export function addOrganization({ search }) {
  const types = state.portal.registration_types;
  const chosen = types.length === 1 ? types[0] : types.find((t) => t.id === history.state?.type);
  if (!types.length) return { title: "Page not found", body: [h("p", null, link("profile", "My profile"))] };
  if (!chosen) {
    return {
      title: "Register for another organization",
      back: ["profile", "My profile"],
      body: [form({ fields: [{ name: "type", label: "I register as", type: "radios", options: types.map((t) => [t.id, t.title]), missing: "Select how you want to register." }], submit: "Continue", send: async ({ type }) => state.go("profile/organizations/add", { type }) })],
    };
  }
  const fields = [...verificationFields(chosen), ...(chosen.requires_postal_address ? [h("h2", null, "Where should we mail your PIN?"), ...addressFields()] : []), ...agreementConsents(chosen.agreements), ...signing(chosen)];
  return {
    title: "Register for another organization",
    back: ["profile", "My profile"],
    body: [
      h("p", null, `You keep your username and password, and can switch between organizations. You register as: ${chosen.title}.`),
      paperAgreements(chosen.agreements),
      form({
        fields,
        submit: "Register for this organization",
        send: async (values, key) => {
          const answer = await post("me/organizations", body({ ...values, registration_type: chosen.id }), key);
          history.replaceState({}, "", location.pathname);
          await joined(answer, undefined, "You are registered for another organization.");
        },
      }),
    ],
  };
}

export { Problem, get };
