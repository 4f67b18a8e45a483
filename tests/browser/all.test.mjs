import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { BASE, PASSWORD, Visitor, acceptsInvitation, email, emails, journey, linkTo } from "./harness.mjs";

test("pg_01 a portal whose policy no page knows is fully usable", journey(async (v) => {
  await v.open("/mixed/app");
  await v.sees("Mixed Portal");
  const logo = v.page.getByRole("banner").getByRole("img", { name: "Harborlight Health" });
  assert.ok(await logo.evaluate((image) => image.complete && image.naturalWidth > 0), "the logo of the policy is shown");
  await v.check("with a logo");
  await v.follows("Register now");
  await v.fill({ "Agent ID": "AG10003", "Last four digits of your Social Security number": "2954" });
  await v.presses("Continue");
  await v.fill({ "First name": "Priya", "Last name": "Nair", "Email address": "priya@nair.example" });
  await v.presses("Continue");
  await v.fill({ Username: "priya.nair", Password: PASSWORD });
  await v.presses("Continue");
  await v.fill({ "Hint question": "What was my first car?", "Hint answer": "A green Beetle" });
  await v.presses("Continue");
  for (let i = 1; i <= 2; i += 1) {
    await v.page.getByLabel(`Security question ${i}`).selectOption({ index: i });
    await v.field(`Answer to question ${i}`).fill(`Answer number ${i}`);
  }
  await v.presses("Continue");
  await v.page.getByLabel("I have read and accept the House Rules").check();
  await v.presses("Register");
  await v.sees("Hello, Priya");
  await v.open("/mixed/app/users/add");
  await v.fill({ "First name": "Ada", "Last name": "Nair", "Email address": "ada@nair.example", Username: "ada.nair", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Helper" }).check();
  await v.presses("Add user");
  await v.reads("Ada Nair was added");
}));

test("pg_01 an expired session in the middle of a form loses nothing", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/feedback");
  await v.fill({ "Your feedback": "This text must not be lost." });
  const cookies = await v.context.cookies();
  await v.context.clearCookies();
  assert.ok(cookies.length > 0);
  await v.presses("Send feedback");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Sign in again" }).waitFor();
  assert.equal(await v.page.evaluate(() => document.activeElement.labels[0].textContent), "Password");
  await v.check("sign in again");
  await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Sign in and continue" }).click();
  await v.reads("Your feedback was sent.");
}));

test("ap_01 a lost connection is reported, and trying again does not send twice", journey(async (v) => {
  await v.signsIn("group", "ruth.okafor");
  await v.open("/group/app/invitations/new");
  await v.fill({ "First name": "Lost", "Last name": "Line", "Email address": "lost@blueheron.example" });
  await v.page.getByRole("radio", { name: "Staff" }).check();
  // The request arrives, and its response is lost.
  await v.page.route(/\/group\/invitations$/, async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await v.presses("Send invitation");
  await v.page.getByRole("alert").getByText("The connection was lost").waitFor();
  await v.check("no connection");
  await v.presses("Send invitation");
  await v.reads("An invitation was sent to lost@blueheron.example.");
  assert.equal(await v.page.getByRole("row", { name: /lost@/ }).count(), 1);
}));

test("pg_01 a double click sends one request", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/feedback");
  await v.fill({ "Your feedback": "Once is enough." });
  let sent = 0;
  v.page.on("request", (request) => {
    if (request.method() === "POST" && request.url().endsWith("/feedback")) sent += 1;
  });
  await v.page.getByRole("button", { name: "Send feedback" }).dblclick();
  await v.reads("Your feedback was sent.");
  assert.equal(sent, 1);
}));

test("pg_01 back, reload and deep links work", journey(async (v) => {
  await v.open("/group/app/users");
  await v.sees("Sign in");
  await v.fill({ Username: "ruth.okafor", Password: PASSWORD });
  await v.presses("Sign in");
  await v.sees("Users");
  await v.follows("Sam Lind");
  await v.sees("Sam Lind");
  await v.page.reload();
  await v.sees("Sam Lind");
  await v.page.goBack();
  await v.sees("Users");
}));

test("pg_01 blocked scripts leave a message", async () => {
  const v = await Visitor.create();
  await v.page.route(/\.js$/, (route) => route.abort());
  await v.page.goto(`${BASE}/group/app/sign-in`);
  await v.page.getByText("This site needs JavaScript").waitFor();
  await v.context.close();
});

test("pg_01 pg_04 the first page opens each portal's pages, fills the form for a sample person, and the inbox leads to the page of a link", async () => {
  const v = await Visitor.create();
  await v.page.goto(BASE);
  const portals = await v.page.locator("article.portal").getByRole("link", { name: "Open the pages" }).evaluateAll((links) => links.map((a) => a.href));
  assert.ok(portals.length >= 8, `${portals.length} portals`);
  for (const address of portals) {
    await v.open(address);
    await v.page.locator("main h1").waitFor();
  }
  await v.page.goto(BASE);
  await v.page.getByRole("link", { name: "Sign in as Sam Lind", exact: true }).first().click();
  await v.sees("Sign in");
  assert.equal(await v.field("Username").inputValue(), "sam.lind");
  await v.presses("Sign in");
  await v.sees("Hello, Sam");
  await v.signsOut("group");

  await v.open("/group/app/forgot-password");
  await v.fill({ Username: "sam.lind" });
  const before = emails("sam@blueheron.example").length;
  await v.presses("Continue");
  await v.sees("Check your email");
  await email("sam@blueheron.example", /password/i, { after: before });
  await v.page.goto(`${BASE}/inbox`);
  await v.page.getByRole("row", { name: /sam@blueheron\.example/ }).first().getByRole("link").click();
  const opened = v.context.waitForEvent("page");
  await v.page.frameLocator("iframe").getByRole("link", { name: /password/i }).first().click();
  const page = await opened;
  await page.getByRole("heading", { level: 1, name: "Choose a new password" }).waitFor();
  assert.ok(!page.url().includes("token"));
  await v.leaves();
});

test("ux_11 every action of the audit trail has a title", () => {
  const file = (path) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
  const { paths } = JSON.parse(file("docs/openapi.json"));
  const actions = paths["/{portal}/audit-events"].get.parameters.find((p) => p.name === "action").schema.enum.filter(Boolean);
  assert.ok(actions.length > 50);
  const words = file("infra/pages/js/words.js");
  assert.deepEqual(actions.filter((action) => !words.includes(`\n  ${action}: "`)), []);
});

test("pg_05 the first page transfers at most 60 kB and asks the API twice at most", async () => {
  const v = await Visitor.create();
  let bytes = 0;
  let requests = 0;
  v.page.on("response", async (response) => {
    const path = new URL(response.url()).pathname;
    if (!path.includes("/app")) requests += 1;
  });
  const session = await v.context.newCDPSession(v.page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", (event) => {
    bytes += event.encodedDataLength;
  });
  await v.open("/member/app");
  await v.page.waitForLoadState("networkidle");
  assert.ok(bytes > 0 && bytes <= 60_000, `${bytes} bytes`);
  assert.ok(requests <= 2, `${requests} requests`);
  await v.leaves();
});

test("ag_14 the idle timeout warns and extends, and then signs out", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.page.clock.install();
  await v.page.reload();
  await v.sees("Hello, Sam");
  await v.page.clock.fastForward("28:30");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Are you still there?" }).waitFor();
  await v.check("the warning");
  await dialog.getByRole("button", { name: "Stay signed in" }).click();
  await dialog.waitFor({ state: "detached" });
  await v.page.clock.fastForward("28:30");
  await dialog.waitFor();
  await v.page.clock.fastForward("02:30");
  await v.sees("You are signed out");
  await v.reads("You were signed out because you did nothing for 30 minutes.");
}));

test("pg_01 signing out in one tab ends the other one, and signing in as someone else shows that person", journey(async (v) => {
  await v.signsIn("group", "ruth.okafor");
  const other = await v.context.newPage();
  await other.goto(`${BASE}/group/app/users`);
  await other.getByRole("heading", { level: 1, name: "Users" }).waitFor();
  await v.signsOut("group");
  await other.getByRole("heading", { level: 1, name: "You are signed out" }).waitFor();
  assert.equal(await other.getByText("Sam Lind").count(), 0);
  await v.signsIn("group", "sam.lind");
  await v.sees("Hello, Sam");
  await other.getByText("Sam Lind").waitFor();
  await other.close();
}));

test("pg_01 the session of another person in the same browser never sends what the first one entered", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/feedback");
  await v.fill({ "Your feedback": "Only Sam says this." });
  await v.context.clearCookies();
  await v.presses("Send feedback");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByLabel("Username").fill("alma.lind");
  await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Sign in and continue" }).click();
  await v.sees("Hello, Alma");
  assert.equal(emails("group-services@harborlight.example").filter((m) => /Only Sam says this/.test(m.text)).length, 0);
}));

test("pg_01 back and forward move between the steps of a registration and keep what was entered", journey(async (v) => {
  await v.open("/group/app/register");
  await v.fill({ "Group number": "GR20009", "Last four digits of the group's tax ID": "1234" });
  await v.presses("Continue");
  await v.fill({ "First name": "Bea", "Last name": "Back", "Email address": "bea@back.example" });
  await v.presses("Continue");
  await v.sees("Choose a username and password");
  await v.page.goBack();
  await v.sees("Who are you?");
  assert.equal(await v.field("First name").inputValue(), "Bea");
  await v.page.goBack();
  await v.sees("Find your record");
  assert.equal(await v.field("Group number").inputValue(), "GR20009");
  await v.page.goForward();
  await v.sees("Who are you?");
  await v.page.reload();
  await v.sees("Find your record");
}));

test("ux_01 pg_04 a link that was used, cut off or made up ends in a clear message", journey(async (v) => {
  await v.open("/group/app/password-reset#token=made-up");
  await v.page.getByRole("heading", { level: 1, name: /link|expired|no longer/i }).waitFor();
  await v.check("a made-up reset link");
  await v.open("/group/app/email-confirmation#token=made-up");
  await v.presses("Confirm email address");
  await v.page.getByRole("alert").waitFor();
  await v.check("a made-up confirmation");
  await v.open("/group/app/password-reset");
  await v.reads("This link is not complete.");
  await v.check("a link that was cut off");
  await v.signsIn("group", "ruth.okafor");
  await v.open("/group/app/invitations/new");
  await v.fill({ "First name": "Uno", "Last name": "Reed", "Email address": "uno@blueheron.example" });
  await v.page.getByRole("radio", { name: "Staff" }).check();
  await v.presses("Send invitation");
  const invitation = await linkTo("uno@blueheron.example", "/invitations/accept");
  await v.signsOut("group");
  await acceptsInvitation(v, "uno@blueheron.example", "uno.reed");
  await v.sees("Waiting for approval");
  await v.signsOut("group");
  await v.open(invitation);
  await v.page.getByRole("heading", { level: 1, name: /used/i }).waitFor();
}));

test("pg_01 without a connection a page says so, and can be shown again", journey(async (v) => {
  await v.signsIn("group", "ruth.okafor");
  await v.sees("Hello, Ruth");
  await v.page.getByRole("navigation").getByRole("link", { name: "Users" }).click();
  await v.sees("Users");
  await v.context.setOffline(true);
  await v.follows("Sam Lind");
  await v.sees("The connection was lost");
  await v.check("no connection");
  await v.context.setOffline(false);
  await v.presses("Try again");
  await v.sees("Sam Lind");
}));

test("pg_01 a page whose module is blocked says so", async () => {
  const v = await Visitor.create();
  await v.signsIn("group", "ruth.okafor");
  await v.page.route(/pages\/audit\.js$/, (route) => route.abort());
  await v.page.getByRole("navigation").getByRole("link", { name: "Audit trail" }).click();
  await v.sees("Something went wrong");
  await v.reads("This page could not be loaded. Reload it and try again.");
  await v.context.close();
});
