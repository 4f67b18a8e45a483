// Giving a second factor: at sign-in, and to confirm a sensitive action.

import { put } from "./api.js";
import { focus, h, replace } from "./dom.js";
import { form } from "./form.js";
import { signChallenge, supportsPasskeys } from "./passkeys.js";
import { state } from "./state.js";

/** What each kind is called, and what its form contains. */
const KINDS = {
  passkey: { other: "Use a passkey", fields: () => [], submit: "Use your passkey", factor: async () => ({ passkey: await signChallenge() }) },
  authenticator_app: {
    other: "Use your authenticator app",
    fields: () => [{ name: "code", label: "Code from your authenticator app", hint: "Six digits. A new code appears every 30 seconds.", inputmode: "numeric", autocomplete: "one-time-code", width: "w10", maxlength: 12, missing: "Enter the code that your authenticator app shows." }],
    submit: "Continue",
    factor: ({ code }) => ({ code: code.replace(/\s/g, "") }),
  },
  recovery_code: {
    other: "Use a recovery code",
    fields: () => [{ name: "recovery_code", label: "Recovery code", hint: "One of the codes that you saved. Each of them works once.", autocomplete: "off", plain: true, maxlength: 40 }],
    submit: "Continue",
    factor: ({ recovery_code }) => ({ recovery_code }),
  },
};

/**
 * Creates the form of the first kind that works here, with buttons for the other kinds.
 * - kinds: what the person has, from the API
 * - done(): what follows
 * - trust: whether the device can be trusted; the portal decides for how long
 */
export function factorForm({ kinds, done, trust = false, cancel }) {
  const usable = Object.keys(KINDS).filter((kind) => kinds.includes(kind) && (kind !== "passkey" || supportsPasskeys()));
  const days = trust ? (state.portal.second_factor?.trusted_device_days ?? 0) : 0;
  const box = h("div");
  if (!usable.length) {
    replace(box, h("p", null, "This browser can't use passkeys. Sign in with a browser and device that has your passkey."), cancel);
    return box;
  }
  let made;
  const show = (kind) => {
    const { fields, submit, factor } = KINDS[kind];
    const others = usable.filter((other) => other !== kind);
    made?.clear();
    made = form({
      fields: [...fields(), days ? { name: "trust_device", label: `Don't ask again on this device for ${days} days`, hint: "Select it only on a device that nobody else uses.", type: "checkbox" } : null],
      submit,
      send: async ({ trust_device: trusted = false, ...values }) => {
        await put("sessions/current/second-factor", { factor: await factor(values), trust_device: trusted }).catch((problem) => {
          const [name] = Object.keys(values);
          if (problem.kind === "second-factor-wrong" && name) problem.errors = [{ field: name, detail: problem.detail }];
          throw problem;
        });
        made.clear();
        await done();
      },
      others: cancel,
    });
    replace(box, made, others.length ? [h("h2", null, others.length === 1 ? "Another way" : "Other ways"), h("ul", { class: "plain" }, others.map((other) => h("li", null, h("button", { type: "button", class: "link", onclick: () => {
      show(other);
      focus(made.fields[0]?.control ?? made.querySelector("button"));
    } }, KINDS[other].other))))] : null);
  };
  show(usable[0]);
  return box;
}

/** Creates the form that confirms a sensitive action: with a factor or, for a person who has none, the password. */
export function confirmationForm({ kinds, done, cancel }) {
  if (kinds.length) return factorForm({ kinds, done, cancel });
  const made = form({
    fields: [{ name: "password", label: "Password", type: "password", autocomplete: "current-password" }],
    submit: "Continue",
    send: async (values) => {
      await put("sessions/current/password-confirmation", values);
      made.clear();
      await done();
    },
    others: cancel,
  });
  return made;
}
