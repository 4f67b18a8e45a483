// Starts the pages: loads the portal and the profile, shows the page of the address, and follows links without
// loading the document again.

import { APP, PORTAL, Problem, get, lastActive, post, put, remove } from "./api.js";
import { focus, h, notice, replace } from "./dom.js";
import { form, summary } from "./form.js";
import { brand, footer, header, link, page } from "./layout.js";
import { may, state } from "./state.js";

/** The pages: a pattern, the module and function that show it, and who can see it. */
const ROUTES = [
  ["", "home", "home", "any"],
  ["sign-in", "sign-in", "signIn", "any"],
  ["sign-out", "sign-in", "signOut", "any"],
  ["signed-out", "sign-in", "signedOut", "any"],
  ["register", "register", "chooseType", "any"],
  ["register/:type", "register", "register", "any"],
  ["invitations/accept", "register", "acceptInvitation", "any"],
  ["registration-code", "register", "redeemCode", "any"],
  ["forgot-password", "recovery", "forgotPassword", "any"],
  ["forgot-username", "recovery", "forgotUsername", "any"],
  ["password-reset", "recovery", "resetPassword", "any"],
  ["email-confirmation", "recovery", "confirmEmail", "any"],
  ["email-change-cancellation", "recovery", "cancelEmailChange", "any"],
  ["pin", "steps", "step", "session"],
  ["next", "steps", "step", "session"],
  ["organizations", "steps", "chooseOrganization", "session"],
  ["profile", "profile", "profile", "session"],
  ["profile/name", "profile", "name", "full"],
  ["profile/email", "profile", "email", "session"],
  ["profile/password", "profile", "password", "session"],
  ["profile/hint", "profile", "hint", "full"],
  ["profile/security-questions", "profile", "questions", "full"],
  ["profile/links", "profile", "links", "full"],
  ["profile/subscriptions", "profile", "subscriptions", "full"],
  ["profile/sessions", "profile", "sessions", "session"],
  ["profile/activity", "profile", "activity", "session"],
  ["profile/agreements", "profile", "agreements", "full"],
  ["profile/organizations/add", "register", "addOrganization", "session"],
  ["register-again", "steps", "registerAgain", "session"],
  ["feedback", "home", "feedback", "full"],
  ["services/:id", "home", "service", "full"],
  ["authorize", "authorize", "authorize", "any"],
  ["users", "users", "list", "full"],
  ["users/add", "users", "add", "full"],
  ["users/upload", "invitations", "uploadUsers", "full"],
  ["users/:id", "users", "show", "full"],
  ["users/:id/approve", "users", "approve", "full"],
  ["users/:id/access", "users", "access", "full"],
  ["users/:id/remove", "users", "removeUser", "full"],
  ["users/:id/disable", "users", "disable", "full"],
  ["invitations", "invitations", "list", "full"],
  ["invitations/new", "invitations", "invite", "full"],
  ["invitations/upload", "invitations", "uploadInvitations", "full"],
  ["access-review", "reviews", "review", "full"],
  ["agents", "reviews", "agents", "full"],
  ["audit-trail", "audit", "own", "full"],
  ["accounts", "help-desk", "search", "full"],
  ["accounts/audit-trail", "audit", "portals", "full"],
  ["accounts/:portal/:id", "help-desk", "account", "full"],
  ["accounts/:portal/:id/invitations", "help-desk", "invitations", "full"],
  ["accounts/:portal/:id/:action", "help-desk", "act", "full"],
];

const app = document.getElementById("app");

function match(path) {
  const parts = path.split("/");
  let best;
  for (const [pattern, file, name, who] of ROUTES) {
    const wanted = pattern.split("/");
    if (wanted.length !== parts.length) continue;
    const params = {};
    const fits = wanted.every((w, i) => {
      if (!w.startsWith(":")) return w === parts[i];
      params[w.slice(1)] = decodeURIComponent(parts[i]);
      return parts[i] !== "";
    });
    const exact = wanted.filter((w) => !w.startsWith(":")).length;
    if (fits && (!best || exact > best.exact)) best = { file, name, who, params, exact };
  }
  return best;
}

const current = () => location.pathname.slice(APP.pathname.length).replace(/\/$/, "");

async function loadProfile() {
  try {
    state.me = await get("me");
    scheduleWarning();
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    state.me = undefined;
  }
}

let turn = 0;

/** Goes to a page with a new profile. */
state.goFresh = async (path, message) => {
  await loadProfile();
  return go(path, { message });
};
/** Shows the page of the current address. */
async function render({ moved = true } = {}) {
  const mine = ++turn;
  const path = current();
  const found = match(path);
  app.setAttribute("aria-busy", "true");
  let view;
  try {
    view = await viewOf(found, path);
  } catch (error) {
    if (mine !== turn) return;
    view = await failed(error, path);
  }
  if (mine !== turn || !view) return;
  app.removeAttribute("aria-busy");
  const message = state.message;
  state.message = undefined;
  const title = h("h1", null, view.title);
  const main = h("main", { id: "main", class: view.wide ? "wide" : "wide narrow" }, view.back ? h("p", { class: "back" }, link(view.back[0], view.back[1])) : null, message ? notice("success", null, h("p", null, message)) : null, title, view.body);
  replace(app, h("a", { class: "skip", href: "#main", onclick: (e) => {
    e.preventDefault();
    focus(title);
  } }, "Skip to main content"), header(path), main, footer());
  document.title = view.title === state.portal.title ? view.title : `${view.title} – ${state.portal.title}`;
  if (moved) {
    scrollTo(0, 0);
    focus(title);
  }
  view.ready?.();
}

async function viewOf(found, path) {
  if (!found) return missing();
  if (found.who !== "any" && !state.me) {
    return go(`sign-in`, { replaceEntry: true, returnTo: path + location.search });
  }
  if (found.who === "full" && state.me.next_step) return go("next", { replaceEntry: true });
  const module = await import(`./pages/${found.file}.js`);
  return module[found.name]({ params: found.params, path, search: new URLSearchParams(location.search) });
}

function missing() {
  return { title: "Page not found", body: [h("p", null, "If you typed the address, check that it is correct. If you followed a link, it may be out of date."), h("p", null, link("", "Go to the start page"))] };
}

async function failed(error, path) {
  if (error instanceof Problem) {
    if (error.kind === "not-signed-in") {
      state.me = undefined;
      return go("sign-in", { replaceEntry: true, returnTo: path + location.search, reason: "expired" });
    }
    if (error.kind === "next-step-required") {
      await loadProfile();
      return go("next", { replaceEntry: true });
    }
    return { title: error.title ?? "Something went wrong", body: [h("p", null, error.detail), error.help_desk ? h("p", null, `${error.help_desk.name}: ${error.help_desk.phone}, ${error.help_desk.hours}`) : null, error.status === 0 || error.status >= 500 ? h("button", { class: "primary", onclick: () => render() }, "Try again") : h("p", null, link("", "Go to the start page"))] };
  }
  console.error(error);
  return { title: "Something went wrong", body: [h("p", null, "This page could not be loaded. Reload it and try again."), h("button", { class: "primary", onclick: () => location.reload() }, "Reload the page")] };
}

/** Where to go after signing in; kept in the history entry, so nothing is in the address. */
export const returnTo = () => history.state?.returnTo;
export const reason = () => history.state?.reason;

function go(path, { replaceEntry = false, message, ...rest } = {}) {
  if (message) state.message = message;
  const url = page(path);
  if (replaceEntry) history.replaceState(rest, "", url);
  else history.pushState(rest, "", url);
  return render();
}

state.go = go;
/** Goes to a page with a new profile. */
state.goFresh = async (path, message) => {
  await loadProfile();
  return go(path, { message });
};
/** Shows the page of the current history entry again. */
state.show = () => render();
/** Works for another organization from now on. */
state.switchTo = (id) => put("sessions/current/organization", { organization_id: id });
state.refresh = async (message) => {
  if (message) state.message = message;
  await loadProfile();
  return render();
};
state.restart = async (message) => {
  await loadProfile();
  if (!state.me) return go("sign-in", { replaceEntry: true, returnTo: returnTo(), reason: "expired" });
  const next = state.me?.next_step ? "next" : (returnTo() ?? "");
  return go(next, { replaceEntry: true, message });
};

/** Ends the session here; the page is loaded again, so that nothing of the person stays in memory. */
state.signOut = async (reason) => {
  await remove("sessions/current").catch(() => {});
  state.me = undefined;
  clearTimeout(timer);
  return go("signed-out", { reason });
};

state.signInAgain = () =>
  new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "again" });
    const inner = form({
      fields: [
        { name: "username", label: "Username", autocomplete: "username", plain: true, value: state.me?.username },
        { name: "password", label: "Password", type: "password", autocomplete: "current-password" },
      ],
      submit: "Sign in and continue",
      send: async (values) => {
        const before = state.me?.id;
        state.me = undefined;
        const session = await post("sessions", values).catch((error) => {
          state.me = { id: before, username: values.username };
          throw error;
        });
        dialog.close("done");
        await loadProfile();
        resolve(session.user_id === before && !session.next_step);
        if (session.user_id !== before || session.next_step) state.restart();
      },
      others: h("button", { type: "button", class: "secondary", onclick: () => {
        dialog.close();
        resolve(false);
      } }, "Cancel"),
    });
    replace(dialog, h("h2", { id: "again" }, "Sign in again"), h("p", null, "Your session has expired. What you entered is still here and is sent when you have signed in."), inner);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("cancel", () => resolve(false));
    document.body.append(dialog);
    dialog.showModal();
  });

// The idle timeout: a warning two minutes before the end, then a sign-out.
const WARN_BEFORE = 120_000;
let timer;

function scheduleWarning() {
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
  const dialog = h("dialog", { "aria-labelledby": "idle" });
  const end = setTimeout(() => {
    dialog.close();
    state.signOut("idle");
  }, Math.max(0, left));
  const stay = h("button", { class: "primary", onclick: async () => {
    clearTimeout(end);
    dialog.close();
    try {
      await get("sessions/current");
      scheduleWarning();
    } catch {
      state.refresh();
    }
  } }, "Stay signed in");
  replace(dialog, h("h2", { id: "idle" }, "Are you still there?"), h("p", null, `You will be signed out in about ${minutes === 1 ? "one minute" : `${minutes} minutes`} because you have not done anything for a while.`),
    h("div", { class: "buttons" }, stay, h("button", { class: "secondary", onclick: () => {
      clearTimeout(end);
      dialog.close();
      state.signOut();
    } }, "Sign out")));
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || anchor.target || anchor.download) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(APP.pathname) && url.pathname !== APP.pathname.slice(0, -1)) return;
  event.preventDefault();
  if (url.href !== location.href) history.pushState({}, "", url);
  render();
});

addEventListener("popstate", () => render());
addEventListener("pageshow", (event) => {
  // A page that the browser kept may belong to a session that has ended.
  if (event.persisted) loadProfile().then(() => render());
});

async function start() {
  try {
    const [portal] = await Promise.all([get(PORTAL), loadProfile()]);
    state.portal = portal;
  } catch (error) {
    replace(app, h("main", { class: "wide narrow", id: "main" }, h("h1", null, "This page could not be loaded"), error instanceof Problem ? summary(error, []) : null, h("button", { class: "primary", onclick: () => location.reload() }, "Try again")));
    document.title = "This page could not be loaded";
    return;
  }
  brand();
  scheduleWarning();
  await render({ moved: false });
}

export { may };
start();
