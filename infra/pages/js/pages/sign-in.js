// Signing in and out.

import { Problem, post } from "../api.js";
import { h, notice } from "../dom.js";
import { form } from "../form.js";
import { link } from "../layout.js";
import { state } from "../state.js";

/** The sample person that was chosen on the first page of `cargo portal`; it is there in the same tab and once. */
function sample() {
  const text = sessionStorage.getItem("vestibule-sample");
  sessionStorage.removeItem("vestibule-sample");
  return text ? JSON.parse(text) : undefined;
}

export async function signIn() {
  const { portal } = state;
  const person = sample();
  if (state.me && !person) return state.go(state.me.next_step ? "next" : "", { replaceEntry: true });
  return {
    title: "Sign in",
    body: [
      history.state?.reason === "expired" ? notice("warn", null, h("p", null, "Your session has expired. Sign in again to continue.")) : null,
      form({
        fields: [
          { name: "username", label: "Username", autocomplete: "username", plain: true, value: person?.username },
          { name: "password", label: "Password", type: "password", autocomplete: "current-password", value: person?.password },
        ],
        submit: "Sign in",
        send: async (values) => {
          await post("sessions", values);
          await state.restart();
        },
      }),
      h("p", null, link("forgot-password", "Forgot your password?"), h("br"), link("forgot-username", "Forgot your username?")),
      portal.registration_types.length ? h("p", null, "New here? ", link("register", "Register now")) : null,
      portal.staff_onboarding === "registration_code" ? h("p", null, "Do you have a registration code? ", link("registration-code", "Enter it here")) : null,
    ],
  };
}

/** Asks before ending the session, so that a link alone never ends it. */
export function signOut() {
  if (!state.me) return state.go("signed-out", { replaceEntry: true });
  return {
    title: "Sign out",
    body: [form({ fields: [h("p", null, "Do you want to sign out?")], submit: "Sign out", send: async () => state.signOut(), cancel: { href: link("", "").pathname, text: "Stay signed in" } })],
  };
}

export function signedOut() {
  const idle = history.state?.reason === "idle";
  return {
    title: "You are signed out",
    body: [
      idle ? h("p", null, `You were signed out because you did nothing for ${state.portal.idle_minutes} minutes.`) : h("p", null, "If you share this computer, close the browser as well."),
      h("div", { class: "buttons" }, link("sign-in", "Sign in", { class: "button primary" })),
    ],
  };
}

export { Problem };
