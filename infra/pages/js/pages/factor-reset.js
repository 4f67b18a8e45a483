// Resetting lost second factors, and the pages behind the links in the email about it (MF-06).

import { post } from "../api.js";
import { h } from "../dom.js";
import { form } from "../form.js";
import { phone } from "../layout.js";
import { state } from "../state.js";
import { cancelByLink } from "./recovery.js";
import { brokenLink, takeToken } from "./register.js";

const RESET = "Your second factors were removed.";

const complete = (evidence) => post("sessions/current/second-factor-reset", evidence);

/** The page of the link: the password proves the person besides the link. */
export function reset() {
  const token = takeToken();
  const title = "Remove your second factors";
  if (!token) return brokenLink(title);
  const about = h("p", null, "Your passkeys, authenticator apps and recovery codes are removed from your account. Then you can set up new ones.");
  const finish = async () => {
    await complete({ token });
    history.replaceState({}, "", location.pathname);
    await state.signedIn(RESET);
  };
  if (state.me) return { title, body: [about, form({ fields: [], submit: "Remove second factors", danger: true, send: finish })] };
  return {
    title,
    body: [
      about,
      form({
        fields: [
          { name: "username", label: "Username", autocomplete: "username", plain: true },
          { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
        ],
        submit: "Remove second factors",
        danger: true,
        send: async (values) => {
          await post("sessions", values);
          await finish();
        },
      }),
    ],
  };
}

export const cancel = () =>
  cancelByLink({
    title: "Keep your second factors",
    about: "Someone started to remove the second factors from your account. If you cancel it, your second factors stay, and you are signed out everywhere.",
    submit: "Cancel the reset",
    resource: "second-factor-reset-cancellations",
    what: "The reset",
  });

/** What a person can do who has lost the second factor, while signing in. */
export function lost() {
  const help = state.portal.help_desk;
  const pending = state.me.second_factor_reset;
  if (pending === "email") return h("p", null, "We sent a link to your email address. Open it to remove your second factors.");
  if (pending === "pin_letter") {
    return [
      h("p", null, "We mailed you a letter with a PIN. Enter it to remove your second factors, and then set up new ones."),
      form({
        fields: [{ name: "pin", label: "PIN from the letter", inputmode: "numeric", width: "w10", maxlength: 12, missing: "Enter the PIN from the letter." }],
        submit: "Remove second factors",
        danger: true,
        send: async (values) => {
          await complete(values);
          await state.restart(RESET);
        },
      }),
    ];
  }
  return h("p", null, `Call ${help.name} at `, phone(help), `. ${help.hours}.`);
}
