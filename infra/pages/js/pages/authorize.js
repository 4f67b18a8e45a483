// Opens an application that trusts the portal's sign-in: the authorization endpoint of OpenID Connect. It leads
// through the sign-in and the pending steps first, and comes back.

import { post } from "../api.js";
import { h } from "../dom.js";
import { link } from "../layout.js";
import { state } from "../state.js";
import { choices } from "./second-factors.js";

export async function authorize({ search }) {
  const response = await post("authorizations", { query: search.toString() });
  if (response.redirect_to) {
    location.replace(response.redirect_to);
    return { title: "Opening the application", body: [h("p", null, "You are being taken to the application. If nothing happens, ", h("a", { href: response.redirect_to }, "open it here"), ".")] };
  }
  const again = { replaceEntry: true, returnTo: `authorize?${response.query}` };
  if (response.next_step === "sign_in") {
    state.me = undefined;
    return state.go("sign-in", again);
  }
  if (state.me?.next_step) return state.go("next", again);
  // The session has full access, and the application requires more.
  const name = response.application.title;
  if (response.next_step === "enter_second_factor") {
    return {
      title: `Open ${name}`,
      body: [
        h("p", null, `${name} requires your second factor.`),
        h("button", { class: "primary", onclick: async () => {
          if (await state.confirm()) state.go(again.returnTo, { replaceEntry: true });
        } }, "Enter your second factor"),
      ],
    };
  }
  // Setting up a factor leads back to the application.
  history.replaceState(again, "");
  return {
    title: `Open ${name}`,
    body: [
      h("p", null, `${name} requires a second factor. Set one up to continue to ${name}.`),
      choices(),
    ],
  };
}
