// The page of each pending step. A new step is one more function in STEPS.

import { get, post, put } from "../api.js";
import { facts, h, notice, tag } from "../dom.js";
import { factorForm } from "../factors.js";
import { action, form, nest } from "../form.js";
import { link, phone } from "../layout.js";
import { state } from "../state.js";
import { date, newPassword, usernameField, verificationFields } from "../words.js";
import { lost } from "./factor-reset.js";
import { choices } from "./second-factors.js";

const after = (message) => state.restart(message);

const STEPS = {
  enter_second_factor: () => ({
    title: "Confirm that it is you",
    body: [
      h("p", null, "Your password was correct. Confirm with your second factor to continue."),
      factorForm({ kinds: state.me.second_factors ?? [], done: () => after(), trust: true }),
      h("h2", null, "Did you lose your second factor?"),
      lost(),
    ],
  }),

  set_up_second_factor: () => ({
    title: "Set up a second factor",
    body: [
      h("p", null, "Your role requires a second factor: something that you have, in addition to your password. You give it when you sign in, so that nobody gets in with your password alone."),
      choices(),
    ],
  }),

  change_password: () => ({
    title: "Choose a new password",
    body: [
      h("p", null, "Your password has expired or was set by someone else. Choose a new one to continue."),
      form({
        fields: [{ name: "current_password", label: "Current password", type: "password", autocomplete: "current-password" }, newPassword("new_password", "New password")],
        submit: "Change password",
        send: async (values) => {
          await put("sessions/current/password", values);
          await after("Your password was changed.");
        },
      }),
    ],
  }),

  choose_username: () => ({
    title: "Choose a username",
    body: [
      h("p", null, `Usernames of older accounts have been released. You can keep ${state.me.username} if nobody else has chosen it, or choose another one.`),
      form({
        fields: [usernameField()],
        values: { username: state.me.username },
        submit: "Save username",
        send: async (values) => {
          await put("me/username", values);
          await after("Your username was saved.");
        },
      }),
    ],
  }),

  choose_organization: () => chooseOrganization(),
  register_again: () => registerAgain(),

  enter_pin: async () => {
    const letter = await get("pin/letter");
    const digits = state.portal.pin_digits;
    const waiting = letter.status === "withheld";
    return {
      title: "Enter your PIN",
      body: [
        h("p", null, letter.advice.replace(/\d{4}-\d\d-\d\d/g, date)),
        facts([
          ["Letter issued", date(letter.issued_on)],
          ["PIN can be used until", date(letter.expires_on)],
        ]),
        waiting ? null : form({
          fields: [{ name: "pin", label: `PIN`, hint: digits ? `The ${digits} digits from the letter` : "", inputmode: "numeric", autocomplete: "one-time-code", width: "w10", maxlength: 12 }],
          submit: "Activate account",
          send: async (values) => {
            await post("pin/activation", values);
            await after("Your account is activated.");
          },
        }),
        h("h2", null, "Lost your PIN?"),
        state.portal.pin_reissued_by_user
          ? [h("p", null, "We mail a new letter to your address in the plan's records. The PIN in the earlier letter then stops working."),
              action("Issue new PIN", (key) => post("pin/letter", undefined, key), { done: () => state.refresh("A new letter is on its way. The earlier PIN no longer works.") })]
          : h("p", null, `Call ${state.portal.help_desk.name} at `, phone(state.portal.help_desk), ". They mail you a new letter."),
        others(),
      ],
    };
  },

  enter_registration_code: () => ({
    title: "Enter your registration code",
    body: [
      h("p", null, "Your administrator added you to this organization. The code is in the email that we sent you."),
      form({
        fields: [
          { name: "registration_code", label: "Registration code", autocomplete: "one-time-code", plain: true, width: "w10", maxlength: 40 },
          { name: "password", label: "Password", hint: "The password that you sign in with", type: "password", autocomplete: "current-password" },
        ],
        submit: "Complete registration",
        send: async (values) => {
          await post("registration-codes/redemption", { ...values, username: state.me.username });
          await after("Your registration is complete.");
        },
      }),
      others(),
    ],
  }),

  call_help_desk: () => {
    const help = state.portal.help_desk;
    const because = {
      record_ended: [`${state.portal.plan} no longer lists you in its records, so your access has ended.`, "If this is a mistake, call the help desk."],
      campaign_cutoff_passed: ["The deadline to register again has passed, so your access has ended.", "Call the help desk to get it back."],
    }[state.me.reason] ?? ["Your access is on hold.", "Call the help desk."];
    return { title: "Your access has ended", body: [h("p", null, because.join(" ")), h("p", { class: "lead" }, `${help.name}: `, phone(help)), h("p", null, help.hours), others()] };
  },

  await_approval: () => ({
    title: "Waiting for approval",
    body: [
      h("p", null, `You are registered. An administrator of ${state.me.organization?.name ?? "your organization"} has to approve you before you get access, and knows about it. We email you when it is done.`),
      managers(),
      h("div", { class: "buttons" }, h("button", { class: "primary", onclick: () => after() }, "Check again")),
      others(),
    ],
  }),

  sign_agreement: async () => {
    const { items } = await get("me/agreements");
    const open = items.filter((a) => !a.is_current);
    return {
      title: open.length === 1 ? open[0].title : "Sign the agreement",
      body: [open.map((a) => agreement(a, open.length > 1)), others()],
    };
  },
};

/** An agreement with its form, and the button to accept it where the portal accepts it online. */
export function agreement(a, withTitle = true, done = () => after("The agreement was accepted.")) {
  const form_link = h("a", { href: a.form_url, target: "_blank", rel: "noopener" }, `Read or download the ${a.title} (opens in a new tab)`);
  const online = a.recorded_by === "user";
  return h(
    "section",
    null,
    withTitle ? h("h2", null, a.title, " ", a.is_current ? tag("Signed", "good") : tag("Not signed", "warn")) : null,
    h("p", null, a.is_current ? `You signed the current revision (${a.revision}).` : online ? `Read revision ${a.revision} and accept it to continue.` : `Sign revision ${a.revision} on paper and send it to ${state.portal.plan}. ${a.blocks === "pin_letter" ? "Your PIN letter is mailed" : "You get access"} when we have recorded it.`),
    h("p", null, form_link),
    !a.is_current && online
      ? form({
          fields: [{ name: "agreed", label: `I have read and accept the ${a.title}`, type: "checkbox", required: true, missing: `Read and accept the ${a.title}.` }],
          submit: "Accept",
          send: async () => {
            await post(`me/agreements/${encodeURIComponent(a.id)}/acceptance`, { revision: a.revision });
            await done();
          },
        })
      : null,
  );
}

/** The administrators of the organization (AG-15, EX-14). */
export function managers() {
  const list = state.me.organization?.administrators ?? [];
  if (!list.length) return null;
  return [h("h2", null, "Who manages your access"), h("ul", null, list.map((a) => h("li", null, `${a.first_name} ${a.last_name}, `, h("a", { href: `mailto:${a.email}` }, a.email))))];
}

/** The other ways out of a step that keeps the person waiting. */
function others() {
  const many = state.me.organizations.length > 1;
  return h("p", null, many ? [link("organizations", "Work for another organization"), h("br")] : null, link("profile", "My profile"));
}

export async function step() {
  const { me } = state;
  if (!me.next_step) return state.go("", { replaceEntry: true });
  const show = STEPS[me.next_step];
  if (show) return show();
  const help = state.portal.help_desk;
  return { title: "One more step", body: [h("p", null, "This step cannot be completed on these pages."), h("p", null, `${help.name}: `, phone(help))] };
}

export function chooseOrganization() {
  const { me } = state;
  const options = me.organizations.map((o) => [o.id, o.name, [o.role_title, o.registration === "registered" ? null : o.registration === "awaiting_approval" ? "waiting for approval" : "not activated yet"].filter(Boolean).join(", ")]);
  return {
    title: "Choose an organization",
    body: [
      h("p", null, "You work for one organization at a time and can switch whenever you like."),
      form({
        fields: [{ name: "organization_id", label: "Organization", type: "radios", options, missing: "Select an organization." }],
        values: { organization_id: me.organization?.id },
        submit: "Continue",
        send: async (values) => {
          await put("sessions/current/organization", values);
          await after();
        },
      }),
      link("profile/organizations/add", "Register for another organization"),
    ],
  };
}

export function registerAgain() {
  const { portal, me } = state;
  const staff = me.organization && !["principal", "administrator"].includes(me.organization.role);
  const dates = me.register_again;
  const intro = [
    dates ? h("p", null, `Registration has to be renewed by ${date(dates.cutoff_date)}.`) : null,
    h("p", null, staff ? "You don't have to enter anything. Your organization has to register first." : "Enter the information that you registered with."),
  ];
  const send = async (values) => {
    await put("me/registration", values);
    await after("You are registered again.");
  };
  const types = portal.registration_types;
  if (staff) return { title: "Register again", body: [intro, form({ fields: [], submit: "Register again", send: () => send({}) }), others()] };
  const forms = types.map((type) => {
    const fields = [...verificationFields(type)];
    if (type.requires_signing_authority) fields.push({ name: "attests_signing_authority", label: `I have the authority to sign for my organization`, type: "checkbox", required: true, missing: "Confirm that you have signing authority." });
    const made = form({ fields, submit: "Register again", send: (values) => send(nest(values)) });
    return types.length > 1 ? h("details", null, h("summary", null, type.title), made) : made;
  });
  return { title: "Register again", body: [intro, forms, others()] };
}

export { notice };
