// Every page of every portal, as a visitor and as a person who may see most of it, in every mode.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BASE, PASSWORD, Visitor, ownSystem, people } from "./harness.mjs";

ownSystem(["--optional-factors"]);

const OPEN = ["", "sign-in", "signed-out", "register", "forgot-password", "forgot-username", "registration-code", "no-such-page", "password-reset", "invitations/accept", "email-confirmation", "email-change-cancellation", "second-factor-reset", "second-factor-reset-cancellation"];
const OWN = ["", "organizations", "profile", "profile/name", "profile/email", "profile/password", "profile/hint", "profile/security-questions", "profile/links", "profile/subscriptions", "profile/sessions", "profile/activity", "profile/agreements", "profile/second-factors", "profile/second-factors/passkey", "profile/second-factors/app", "profile/second-factors/recovery-codes", "profile/organizations/add", "feedback", "users", "users?status=disabled", "users/add", "users/upload", "users/no-such-user", "invitations", "invitations/new", "invitations/upload", "access-review", "agents", "audit-trail", "accounts", "accounts/audit-trail", "plan-records/unlock", "sign-out"];
const OF_USER = ["", "/access", "/approve", "/disable", "/remove", "/second-factor-reset"];
/** Pages that journeys with a person in the right state check: the steps, single sign-on, a factor that was added. */
const ELSEWHERE = ["pin", "next", "register-again", "authorize", "profile/second-factors/:id/name", "profile/second-factors/:id/removal", "sign-out"];
const WHO = { agent: "dana.whitfield", employer: "lena.fischer", group: "ruth.okafor", "help-desk": "ada.moss", member: "grace.kim", practice: "omar.haddad", producer: "dana.whitfield", provider: /Primary user of Lakeside/ };

async function sweep(v, portal, pages) {
  for (const page of pages) {
    await v.shows(`/${portal}/app/${page}`);
    assert.notEqual(await v.page.title(), "", page);
    // The document's own call is the other of the two that a page may wait for.
    assert.ok(v.rounds.most <= 1, `${page} waits for ${v.rounds.most} calls one after the other`);
    await v.check(`${portal} ${page}`);
  }
}

for (const [portal, who] of Object.entries(WHO)) {
  test(`pg_02 every page of the portal ${portal} passes axe, light and dark, narrow, with large text and forced colors`, { timeout: 120_000 }, async () => {
    const v = await Visitor.create();
    await v.open(`/${portal}/app`);
    const { registration_types: types } = await (await fetch(`${BASE}/${portal}`)).json();
    await sweep(v, portal, [...OPEN, ...types.map((type) => `register/${type.id}`)]);
    const username = people().find((p) => p.portal === portal && (who.test ? who.test(p.who) : p.username === who)).username;
    await v.signsIn(portal, username, PASSWORD);
    await v.page.getByRole("heading", { level: 1, name: /^Hello/ }).waitFor();
    await sweep(v, portal, OWN);
    await v.shows(`/${portal}/app`);
    await v.page.getByRole("heading", { level: 1, name: /^Hello/ }).waitFor();
    const services = v.page.getByRole("main").locator('a[href*="/services/"]');
    if (await services.count()) await sweep(v, portal, [(await services.first().getAttribute("href")).replace(`/${portal}/app/`, "")]);
    await v.shows(`/${portal}/app/users`);
    const links = v.page.getByRole("main").getByRole("table").getByRole("link");
    if (await links.count()) {
      const user = await links.last().getAttribute("href");
      await sweep(v, portal, OF_USER.map((rest) => `${user}${rest}`.replace(`/${portal}/app/`, "")));
    }
    await v.leaves();
  });
}

test("pg_02 no page of the router is left out", () => {
  const router = readFileSync(new URL("../../infra/pages/js/main.js", import.meta.url), "utf8");
  const patterns = [...router.matchAll(/^  \["([^"]*)", "[\w-]+", "\w+", "\w+"\],$/gm)].map((found) => found[1]);
  assert.ok(patterns.length > 55, `${patterns.length} pages`);
  const visited = new Set([...OPEN, ...OWN, ...OF_USER.map((rest) => `users/:id${rest}`), "register/:type", "services/:id", "accounts/:portal/:id", "accounts/:portal/:id/:action", "accounts/:portal/:id/invitations", ...ELSEWHERE]);
  assert.deepEqual(patterns.filter((pattern) => !visited.has(pattern)), []);
});

test("pg_03 every page of the help desk's console about an account passes axe", { timeout: 120_000 }, async () => {
  const v = await Visitor.create();
  await v.signsIn("help-desk", "ada.moss");
  const accounts = { provider: people().find((p) => /Mercy Street/.test(p.who)).username, agent: "luis.ortega", group: "sam.lind", member: "maria.alvarez" };
  for (const [portal, username] of Object.entries(accounts)) {
    await v.shows("/help-desk/app/accounts");
    await v.page.getByLabel("Portal", { exact: true }).selectOption(portal);
    await v.page.getByRole("radio", { name: "Username" }).check();
    await v.fill({ "Search for": username });
    await v.presses("Find account");
    await v.page.getByRole("heading", { level: 2, name: "Actions" }).waitFor();
    await v.check(portal);
    const actions = await v.page.getByRole("main").locator(".cards a").evaluateAll((links) => links.map((a) => a.getAttribute("href")));
    assert.ok(actions.length > 3);
    const here = new URL(v.page.url()).pathname;
    for (const action of [...actions, `${here}/invitations`]) {
      await v.shows(action);
      await v.check(`${portal} ${action}`);
    }
  }
  await v.leaves();
});
