// Signing in and out.

import { Problem, post } from "../api.js";
import { h, notice } from "../dom.js";
import { action, form } from "../form.js";
import { link } from "../layout.js";
import { offersPasskeys, signInWithPasskey, supportsPasskeys } from "../passkeys.js";
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
  // Another tab may have signed in while this one was on the way to somewhere.
  if (state.me && !person) return state.restart();
  const passkeys = portal.second_factor?.methods.includes("passkey") && supportsPasskeys();
  const offer = passkeys ? offerPasskeys() : undefined;
  return {
    title: "Sign in",
    body: [
      history.state?.reason === "expired" ? notice("warn", null, h("p", null, "Your session has expired. Sign in again to continue.")) : null,
      form({
        fields: [
          { name: "username", label: "Username", autocomplete: passkeys ? "username webauthn" : "username", plain: true, value: person?.username },
          { name: "password", label: "Password", type: "password", autocomplete: "current-password", value: person?.password },
        ],
        submit: "Sign in",
        send: async (values) => {
          await post("sessions", values);
          offer?.stop();
          await state.signedIn();
        },
      }),
      passkeys
        ? action("Sign in with a passkey", async () => {
            offer.stop();
            await signInWithPasskey();
            await state.signedIn();
          })
        : null,
      h("p", null, link("forgot-password", "Forgot your password?"), h("br"), link("forgot-username", "Forgot your username?")),
      portal.registration_types.length ? h("p", null, "New here? ", link("register", "Register now")) : null,
      portal.staff_onboarding === "registration_code" ? h("p", null, "Do you have a registration code? ", link("registration-code", "Enter it here")) : null,
    ],
    ready: () => offer?.start(),
    leave: () => offer?.stop(),
  };
}

/** A challenge can be answered for five minutes. */
const RENEW = 4 * 60_000;

/** Lets the browser offer passkeys in the username field. Only one ceremony can wait at a time. */
function offerPasskeys() {
  let waiting;
  let renewal;
  let stopped = false;
  const begin = async () => {
    waiting?.abort();
    waiting = new AbortController();
    try {
      await signInWithPasskey({ mediation: "conditional", signal: waiting.signal });
    } catch (error) {
      // The person can still sign in by the form and by the button, which report what is wrong.
      if (error instanceof Problem || error.name === "AbortError") return;
      throw error;
    }
    await state.signedIn();
  };
  return {
    start: async () => {
      if (!(await offersPasskeys()) || stopped) return;
      renewal = setInterval(begin, RENEW);
      await begin();
    },
    stop: () => {
      stopped = true;
      clearInterval(renewal);
      waiting?.abort();
    },
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
