// Dialogs above a page: signing in again, confirming a sensitive action, and the warning before the idle timeout.
// What was entered on the page stays.

import { get, lastActive, post } from "./api.js";
import { h, replace } from "./dom.js";
import { form } from "./form.js";
import { state } from "./state.js";

/** Opens a dialog that is removed when it closes. */
function open(id, title, ...content) {
  const dialog = h("dialog", { "aria-labelledby": id }, h("h2", { id }, title), content);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Opens a dialog with a form; resolves whether the form was completed. `content(done, cancel)` returns what it shows. */
const ask = (id, title, content) =>
  new Promise((resolve) => {
    let dialog;
    const finish = (answer) => {
      resolve(answer);
      dialog.close();
    };
    const cancel = () => h("button", { type: "button", class: "secondary", onclick: () => finish(false) }, "Cancel");
    dialog = open(id, title, content(() => finish(true), cancel, (...parts) => replace(dialog, h("h2", { id }, title), parts)));
    dialog.addEventListener("cancel", () => resolve(false));
  });

/** Lets the person sign in again without leaving the page; returns whether they did. */
export async function signInAgain() {
  const { id, username } = state.me;
  let session;
  const completed = await ask("again", "Sign in again", (done, cancel, show) => [
    h("p", null, "Your session has expired. What you entered is still here and is sent when you have signed in."),
    form({
      fields: [
        { name: "username", label: "Username", autocomplete: "username", plain: true, value: username },
        { name: "password", label: "Password", type: "password", autocomplete: "current-password", autofocus: true },
      ],
      submit: "Sign in and continue",
      send: async (values) => {
        const before = state.me;
        state.me = undefined;
        session = await post("sessions", values).finally(() => {
          state.me = before;
        });
        if (session.next_step !== "enter_second_factor") return done();
        const { factorForm } = await import("./factors.js");
        show(h("p", null, "Confirm that it is you."), factorForm({ kinds: session.second_factors ?? [], done, trust: true, cancel: cancel() }));
      },
      others: cancel(),
    }),
  ]);
  if (!completed) return false;
  await state.loadProfile();
  const same = state.me?.id === id && !state.me.next_step;
  if (!same) state.restart();
  return same;
}

/** Lets the person confirm a sensitive action (MF-07); returns whether they did. */
export async function confirm() {
  const { confirmationForm } = await import("./factors.js");
  const session = await get("sessions/current");
  return ask("confirm", "Confirm that it is you", (done, cancel) => confirmationForm({ kinds: session.second_factors ?? [], done, cancel: cancel() }));
}

// The idle timeout: a warning two minutes before the end, then a sign-out.
const WARN_BEFORE = 120_000;
let timer;

export const stopWarning = () => clearTimeout(timer);

export function scheduleWarning() {
  clearTimeout(timer);
  const minutes = state.portal?.idle_minutes;
  if (!minutes || !state.me) return;
  const ends = lastActive() + minutes * 60_000;
  const lead = Math.min(WARN_BEFORE, minutes * 30_000);
  timer = setTimeout(() => {
    const left = lastActive() + minutes * 60_000 - Date.now();
    if (left > lead) return scheduleWarning();
    warn(left);
  }, Math.max(0, ends - lead - Date.now()));
}

function warn(left) {
  const minutes = Math.max(1, Math.round(left / 60_000));
  const end = setTimeout(() => {
    // Another tab may have been used while this one showed the warning.
    if (lastActive() + state.portal.idle_minutes * 60_000 > Date.now()) {
      dialog.close();
      return scheduleWarning();
    }
    dialog.close();
    state.signOut("idle");
  }, Math.max(0, left));
  const stay = async () => {
    clearTimeout(end);
    const kept = await get("sessions/current").catch(() => undefined);
    dialog.close();
    return kept ? scheduleWarning() : state.refresh();
  };
  const leave = () => {
    clearTimeout(end);
    dialog.close();
    return state.signOut();
  };
  const dialog = open("idle", "Are you still there?", h("p", null, `You will be signed out in about ${minutes === 1 ? "one minute" : `${minutes} minutes`} because you have not done anything for a while.`),
    h("div", { class: "buttons" }, h("button", { class: "primary", onclick: stay }, "Stay signed in"), h("button", { class: "secondary", onclick: leave }, "Sign out")));
  dialog.addEventListener("cancel", (event) => event.preventDefault());
}
