// Starts the pages: loads the portal and the profile, shows the page of the address, and follows links without
// loading the document again.

import { APP, PORTAL, Problem, get, put, remove } from "./api.js";
import { confirm, scheduleWarning, signInAgain, stopWarning } from "./dialogs.js";
import { focus, h, notice, replace } from "./dom.js";
import { summary } from "./form.js";
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
  ["second-factor-reset", "factor-reset", "reset", "any"],
  ["second-factor-reset-cancellation", "factor-reset", "cancel", "any"],
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
  ["profile/second-factors", "second-factors", "list", "session"],
  ["profile/second-factors/passkey", "second-factors", "addPasskey", "session"],
  ["profile/second-factors/app", "second-factors", "addApp", "session"],
  ["profile/second-factors/recovery-codes", "second-factors", "recoveryCodes", "session"],
  ["profile/second-factors/:id/name", "second-factors", "rename", "full"],
  ["profile/second-factors/:id/removal", "second-factors", "removeFactor", "full"],
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
  ["users/:id/second-factor-reset", "users", "resetFactors", "full"],
  ["users/:id/disable", "users", "disable", "full"],
  ["invitations", "invitations", "list", "full"],
  ["invitations/new", "invitations", "invite", "full"],
  ["invitations/upload", "invitations", "uploadInvitations", "full"],
  ["access-review", "reviews", "review", "full"],
  ["agents", "reviews", "agents", "full"],
  ["audit-trail", "audit", "own", "full"],
  ["plan-records/unlock", "help-desk", "unlockRecord", "full"],
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

/** Loads the profile. Before the second factor is given, the API shows nothing of the person (MF-04). */
async function loadProfile() {
  try {
    state.me = await get("me");
    scheduleWarning();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.status === 401) state.me = undefined;
    else if (error.next_step === "enter_second_factor") state.me = { ...NOBODY, ...(await get("sessions/current")) };
    else throw error;
  }
}

const NOBODY = { organizations: [], notices: [], links: [], subscriptions: [], permissions: [] };

let turn = 0;
/** Ends what the current page does in the background. */
let leave;

/** Goes to a page with a new profile. */
state.goFresh = async (path, message) => {
  await loadProfile();
  return go(path, { message });
};
/** Shows the page of the current address. */
async function render({ moved = true } = {}) {
  const mine = ++turn;
  leave?.();
  leave = undefined;
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
  leave = view.leave;
  view.ready?.();
}

async function viewOf(found, path) {
  if (!found) return missing();
  if (found.who !== "any" && !state.me) {
    return go(`sign-in`, { replaceEntry: true, returnTo: path + location.search });
  }
  const { next_step: step } = state.me ?? {};
  if (step && found.who === "full" || step === "enter_second_factor" && found.who === "session" && found.name !== "step") {
    return go("next", { replaceEntry: true, returnTo: path + location.search });
  }
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
      return go("next", { replaceEntry: true, returnTo: path + location.search });
    }
    if (error.kind === "step-up-required") return confirmation();
    return { title: error.title ?? "Something went wrong", body: [h("p", null, error.detail), error.help_desk ? h("p", null, `${error.help_desk.name}: ${error.help_desk.phone}, ${error.help_desk.hours}`) : null, error.status === 0 || error.status >= 500 ? h("button", { class: "primary", onclick: () => render() }, "Try again") : h("p", null, link("", "Go to the start page"))] };
  }
  console.error(error);
  return { title: "Something went wrong", body: [h("p", null, "This page could not be loaded. Reload it and try again."), h("button", { class: "primary", onclick: () => location.reload() }, "Reload the page")] };
}

/** The page that confirms a sensitive page, which is shown next (MF-07). */
async function confirmation() {
  const requested = state.session ?? get("sessions/current");
  state.session = undefined;
  const [{ confirmationForm }, session] = await Promise.all([import("./factors.js"), requested]);
  return { title: "Confirm that it is you", body: [h("p", null, "You are about to see or change something sensitive."), confirmationForm({ kinds: session.second_factors ?? [], done: () => render() })] };
}

/** Goes to a page. What follows after signing in is in the history entry (`returnTo`), so nothing is in the address. */
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
  const { returnTo: path, token } = history.state ?? {};
  const kept = path === undefined ? {} : { returnTo: path, token };
  if (!state.me) return go("sign-in", { replaceEntry: true, ...kept, reason: "expired" });
  if (state.me.next_step) return go("next", { replaceEntry: true, message, ...kept });
  return go(path ?? "", { replaceEntry: true, message, token: kept.token });
};

/** Ends the session; the document is loaded again, so that nothing of the person stays in memory. */
state.signOut = async (reason) => {
  await remove("sessions/current").catch(() => {});
  stopWarning();
  tabs?.postMessage("signed-out");
  leaveFor("signed-out", { reason });
};

function leaveFor(path, entry) {
  history.pushState(entry, "", page(path));
  location.reload();
}

state.loadProfile = loadProfile;
state.signInAgain = signInAgain;
state.confirm = confirm;

/** The other tabs of this portal. */
const tabs = typeof BroadcastChannel === "undefined" ? undefined : new BroadcastChannel(APP.pathname);

/** Signs this tab in with what the browser received; other tabs show the same person. */
state.signedIn = async (message) => {
  await state.restart(message);
  tabs?.postMessage("signed-in");
};

tabs?.addEventListener("message", async ({ data }) => {
  if (data === "signed-out" && state.me) return leaveFor("signed-out", {});
  const before = state.me;
  await loadProfile().catch(() => {});
  if (state.me?.id !== before?.id) await render();
});

document.addEventListener("click", (event) => {
  const anchor = event.target.closest?.("a[href]");
  if (!anchor || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || anchor.target || anchor.download) return;
  const url = new URL(anchor.href);
  if (url.origin !== location.origin || !url.pathname.startsWith(APP.pathname) && url.pathname !== APP.pathname.slice(0, -1)) return;
  event.preventDefault();
  // These can be on the way to somewhere.
  const { returnTo } = history.state ?? {};
  const onTheWay = ["organizations", "profile/second-factors/"].some((path) => url.pathname.startsWith(page(path)));
  const entry = anchor.entry ?? (returnTo && onTheWay ? { returnTo } : {});
  if (url.href !== location.href || anchor.entry) history.pushState(entry, "", url);
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
