import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PASSWORD, addsApp, applications, Visitor, email, journey, linkIn, linkTo, ownSystem, protects, registers } from "./harness.mjs";

ownSystem();

const PORTAL = "/guarded/app";

/** Registers an administrator, whose role requires a second factor. */
async function keeper(v, [record, digits], first, last) {
  const username = `${first}.${last}`.toLowerCase();
  await v.open(`${PORTAL}/register`);
  await registers(v, { first, last, email: `${username}@guarded.example`, username, verification: { "Agent ID": record, "Last four digits of your Social Security number": digits } });
  await v.presses("Register");
  await v.sees("Set up a second factor");
  return username;
}

/** Creates recovery codes and returns them. */
async function createsCodes(v) {
  await v.sees("Recovery codes");
  await v.presses("Create recovery codes");
  await v.sees("Save your recovery codes");
  const codes = await v.page.locator(".codes code").allTextContents();
  assert.equal(codes.length, 10);
  return codes;
}

async function continues(v) {
  await v.page.getByLabel("I have saved the codes").check();
  await v.presses("Continue");
  await v.reads("Your recovery codes were created.");
}

/** Enters username and password. */
async function signsIn(v, username, page = "/sign-in") {
  await v.open(`${PORTAL}${page}`);
  await v.fill({ Username: username, Password: PASSWORD });
  await v.presses("Sign in");
}

async function entersCode(v, code) {
  await v.fill({ "Code from your authenticator app": code });
  await v.presses("Continue");
}

test("mf_01 mf_02 a role that requires a second factor is led to an authenticator app and recovery codes", journey(async (v) => {
  await keeper(v, ["AG10012", "6948"], "Latoya", "Gate");
  await v.check("the step");
  await v.open(`${PORTAL}/users`);
  await v.sees("Set up a second factor");
  await v.page.getByRole("link", { name: "Add an authenticator app" }).click();
  await v.page.getByAltText("QR code for your authenticator app").waitFor();
  await v.check("the QR code");
  await v.fill({ Name: "Phone", Code: "000000" });
  await v.presses("Add app");
  await v.page.getByRole("alert").waitFor();
  await v.check("a wrong code");
  await v.open(`${PORTAL}/users`);
  await v.sees("Set up a second factor");
  await addsApp(v);
  await v.check("recovery codes");
  const codes = await createsCodes(v);
  await v.check("the codes");
  const [download] = await Promise.all([v.page.waitForEvent("download"), v.presses("Download")]);
  const text = readFileSync(await download.path(), "utf8");
  for (const code of codes) assert.ok(text.includes(code));
  await v.context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await v.presses("Copy");
  await v.reads("The codes were copied.");
  assert.equal(await v.page.evaluate(() => navigator.clipboard.readText()), codes.join("\n"));
  await v.page.evaluate(() => {
    window.print = () => document.body.setAttribute("data-printed", "");
  });
  await v.presses("Print");
  await v.page.locator("body[data-printed]").waitFor();
  await v.presses("Continue");
  await v.page.getByRole("alert").getByText("Save the codes, then select the box.").waitFor();
  await continues(v);
  // Where the person wanted to go.
  await v.sees("Users");
  // The codes are shown once.
  await v.page.goBack();
  await v.sees(/Second factors|Recovery codes|Add an authenticator app/);
  assert.equal(await v.page.locator(".codes").count(), 0);
  await v.open(PORTAL);
  await v.sees("Hello, Latoya");
  await email("latoya.gate@guarded.example", /authenticator app was added/);
  await email("latoya.gate@guarded.example", /recovery codes/i);
}));

test("mf_04 mf_05 sign-in asks for the factor before it shows anything, and a code works once", journey(async (v) => {
  const username = await keeper(v, ["AG10016", "9687"], "Laura", "Gate");
  const app = await addsApp(v);
  const codes = await createsCodes(v);
  await continues(v);
  const again = await Visitor.create();
  await signsIn(again, username, "/users");
  await again.sees("Confirm that it is you");
  await again.check("the step");
  assert.doesNotMatch(await again.page.locator("body").innerText(), /Laura|laura/);
  for (const page of ["/users", "/profile", "/profile/second-factors"]) {
    await again.open(`${PORTAL}${page}`);
    await again.sees("Confirm that it is you");
  }
  const code = await app.next();
  await entersCode(again, app.code(app.last - 4));
  await again.page.getByRole("alert").getByText("was not accepted").first().waitFor();
  await again.check("a wrong code");
  await entersCode(again, code);
  await again.sees("Second factors");
  await again.leaves();

  const third = await Visitor.create();
  await signsIn(third, username);
  await entersCode(third, code);
  await third.page.getByRole("alert").getByText("was not accepted").first().waitFor();
  await third.presses("Use a recovery code");
  await third.check("another way");
  await third.fill({ "Recovery code": codes[0] });
  await third.presses("Continue");
  await third.sees("Hello, Laura");
  await email(`${username}@guarded.example`, /recovery code/i);
  await third.leaves();

  const fourth = await Visitor.create();
  await signsIn(fourth, username);
  await fourth.presses("Use a recovery code");
  await fourth.fill({ "Recovery code": codes[0] });
  await fourth.presses("Continue");
  await fourth.page.getByRole("alert").waitFor();
  await fourth.leaves();
}));

test("mf_01 mf_03 a user adds a passkey, renames it, signs in with it alone, and removes it", journey(async (v) => {
  const authenticator = await v.hasAuthenticator();
  const username = await keeper(v, ["AG10018", "3677"], "Jasmine", "Gate");
  await v.page.getByRole("link", { name: "Add a passkey" }).click();
  await v.sees("Add a passkey");
  await v.check("the form");
  await v.fill({ Name: "Laptop" });
  await v.presses("Create passkey");
  await v.reads("The passkey Laptop was added.");
  assert.equal((await authenticator.credentials()).length, 1);
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.sees("Second factors");
  await v.reads("Signs in without the password");
  await v.check("the list");
  await v.follows("Rename Laptop");
  await v.fill({ Name: "Work laptop" });
  await v.presses("Save name");
  await v.page.getByRole("heading", { name: /^Work laptop/ }).waitFor();
  // The only factor that the role requires stays.
  await v.follows("Remove Work laptop");
  await v.check("the question");
  await v.presses("Remove");
  await v.page.getByRole("alert").getByText("Add another one before you remove it.").waitFor();
  // The same device does not get a second passkey.
  await v.open(`${PORTAL}/profile/second-factors/passkey`);
  await v.fill({ Name: "Twice" });
  await v.presses("Create passkey");
  await v.page.getByRole("alert").getByText("This device already has a passkey").waitFor();

  await v.signsOut("guarded");
  await authenticator.verifiesUser(false);
  await v.follows("Sign in");
  await v.sees("Sign in");
  await v.presses("Sign in with a passkey");
  await v.page.getByRole("alert").waitFor();
  await v.check("no passkey");
  await authenticator.verifiesUser(true);
  await v.presses("Sign in with a passkey");
  await v.sees("Hello, Jasmine");

  await email(`${username}@guarded.example`, /passkey was added/);
}));

test("mf_03 mf_05 the browser offers the passkey in the username field, and it confirms the password too", journey(async (v) => {
  await v.hasAuthenticator();
  const username = await keeper(v, ["AG10019", "0696"], "Shanice", "Gate");
  await v.page.getByRole("link", { name: "Add a passkey" }).click();
  await v.fill({ Name: "Laptop" });
  await v.presses("Create passkey");
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.sees("Second factors");
  await v.signsOut("guarded");
  await v.follows("Sign in");
  // Chromium's authenticator picks the passkey that its browser offers.
  await v.sees("Hello, Shanice");
  await v.context.clearCookies();
  // Without the offer, the person enters the password.
  await v.page.addInitScript(() => {
    PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  });
  await signsIn(v, username);
  await v.sees("Confirm that it is you");
  await v.check("the passkey");
  await v.presses("Use your passkey");
  await v.sees("Hello, Shanice");
}));

test("mf_07 mf_08 a trusted device is not asked for the factor, except for sensitive actions", journey(async (v) => {
  const username = await keeper(v, ["AG10026", "8525"], "Lukasz", "Gate");
  const app = await addsApp(v);
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.sees("Second factors");
  await v.reads("Trusted devices");
  await v.signsOut("guarded");
  await signsIn(v, username);
  await v.page.getByLabel("Don't ask again on this device for 30 days").check();
  await entersCode(v, await app.next());
  await v.sees("Hello, Lukasz");
  await v.signsOut("guarded");
  await signsIn(v, username);
  await v.sees("Hello, Lukasz");
  // A page that needs a confirmation shows it first, and a form keeps what was entered.
  await v.open(`${PORTAL}/profile/second-factors/app`);
  await v.sees("Confirm that it is you");
  assert.ok(v.rounds.most <= 2, `a page waits for ${v.rounds.most} calls one after the other`);
  await v.check("the confirmation");
  await v.open(`${PORTAL}/users/add`);
  await v.fill({ "First name": "Ada", "Last name": "Gate", "Email address": "ada@guarded.example", Username: "ada.gate", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Keeper" }).check();
  await v.presses("Add user");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Confirm that it is you" }).waitFor();
  await v.check("the dialog");
  await dialog.getByRole("button", { name: "Cancel" }).click();
  await v.page.getByRole("alert").getByText("Confirm this with your second factor").waitFor();
  await v.presses("Add user");
  await dialog.getByLabel("Code from your authenticator app").fill(await app.next());
  await dialog.getByRole("button", { name: "Continue" }).click();
  await v.reads("Ada Gate was added with the username ada.gate.");
  // The device is listed, and when it is removed, the next sign-in asks for the factor.
  await v.open(`${PORTAL}/profile/second-factors`);
  await v.page.getByRole("heading", { level: 3, name: "Chrome on Linux This device" }).waitFor();
  await v.check("a trusted device");
  await v.page.getByRole("button", { name: /^Remove Chrome on Linux, trusted since/ }).click();
  await v.reads("The device was removed. Its next sign-in requires your second factor.");
  assert.equal(await v.page.getByText("This device").count(), 0);
  await v.signsOut("guarded");
  await signsIn(v, username);
  await v.sees("Confirm that it is you");
}));

test("mf_04 an expired session in the middle of a form asks for the password and the factor, and nothing is lost", journey(async (v) => {
  const username = await keeper(v, ["AG10028", "6631"], "Cate", "Gate");
  const app = await addsApp(v);
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.sees("Second factors");
  await v.open(`${PORTAL}/profile/name`);
  await v.fill({ "Last name": "Gates" });
  await v.context.clearCookies();
  await v.presses("Save name");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Sign in and continue" }).click();
  await dialog.getByLabel("Code from your authenticator app").fill(await app.next());
  await v.check("the second factor");
  await dialog.getByRole("button", { name: "Continue" }).click();
  await v.reads("Your name was changed.");
  await v.reads("Cate Gates");
  assert.ok(username);
}));

test("mf_01 a user whose role requires no factor confirms with the password before adding one, and can remove it", journey(async (v) => {
  await keeper(v, ["AG10036", "2010"], "Stephen", "Gate");
  await addsApp(v);
  await v.open(`${PORTAL}/users/add`);
  await v.fill({ "First name": "Hal", "Last name": "Gate", "Email address": "hal@guarded.example", Username: "hal.gate1", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Helper" }).check();
  await v.presses("Add user");
  await v.reads("Hal Gate was added");
  const hal = await Visitor.create();
  await hal.open(`${PORTAL}/sign-in`);
  await hal.fill({ Username: "hal.gate1", Password: "First-Visit-21!" });
  await hal.presses("Sign in");
  await hal.fill({ "Current password": "First-Visit-21!", "New password": PASSWORD });
  await hal.presses("Change password");
  await hal.sees("Hello, Hal");
  await hal.follows("My profile");
  await hal.page.getByRole("link", { name: "Show second factors" }).click();
  await hal.sees("Second factors");
  await hal.check("no factors");
  // As if the sign-in was a while ago.
  const late = { status: 403, contentType: "application/problem+json", body: JSON.stringify({ type: "urn:vestibule:problem:step-up-required", status: 403, title: "Confirmation required", detail: "Confirm this with your password, then try again." }) };
  await hal.page.route(/authenticator-apps\/enrollment$/, (route) => route.fulfill(late), { times: 1 });
  await hal.page.getByRole("link", { name: "Add an authenticator app" }).click();
  await hal.sees("Confirm that it is you");
  await hal.check("the password");
  await hal.fill({ Password: "Wrong-River-58!" });
  await hal.presses("Continue");
  await hal.page.getByRole("alert").getByText("is incorrect").first().waitFor();
  await hal.fill({ Password: PASSWORD });
  await hal.presses("Continue");
  await hal.sees("Add an authenticator app");
  await hal.page.getByRole("link", { name: "Cancel" }).click();
  await hal.sees("Second factors");
  await addsApp(hal, "Tablet");
  await hal.page.getByRole("link", { name: "Not now" }).click();
  await hal.follows("Remove Tablet");
  await hal.presses("Remove");
  await hal.reads("Tablet was removed.");
  await hal.reads("You have no authenticator apps.");
  await hal.leaves();
}));

test("mf_06 pg_04 an administrator starts a reset, and the user completes it with the link and the password", journey(async (v) => {
  const sam = await Visitor.create();
  await sam.signsIn("group", "sam.lind");
  await protects(sam, "group");
  await v.signsIn("group", "ruth.okafor");
  await v.searchesUsers("group", "sam.lind");
  await v.follows("Sam Lind");
  await v.follows("Reset second factors");
  await v.check("the question");
  await v.presses("Start the reset");
  await v.reads("A reset was started. Sam Lind was notified by email.");
  // Who is signed in sees it, and the factors are still there.
  await sam.open("/group/app/profile/second-factors");
  await sam.reads("A reset of your second factors was started");
  await sam.check("the pending reset");
  await sam.signsOut("group");
  await sam.open(await linkTo("sam@blueheron.example", "/second-factor-reset#"));
  assert.ok(!sam.page.url().includes("token"));
  await sam.check("the link");
  await sam.fill({ Username: "sam.lind", Password: PASSWORD });
  await sam.presses("Remove second factors");
  await sam.sees("Hello, Sam");
  await sam.reads("Your second factors were removed.");
  await sam.open("/group/app/profile/second-factors");
  await sam.reads("You have no authenticator apps.");
  await sam.leaves();
}));

test("mf_06 pg_04 the owner cancels a reset with the link in the email", journey(async (v) => {
  const alma = await Visitor.create();
  await alma.signsIn("group", "alma.lind");
  const app = await protects(alma, "group");
  await v.signsIn("group", "ruth.okafor");
  await v.searchesUsers("group", "alma.lind");
  await v.follows("Alma Lind");
  await v.follows("Reset second factors");
  await v.presses("Start the reset");
  await v.reads("A reset was started.");
  await alma.signsOut("group");
  const mail = await email("alma@blueheron.example", /Reset of your second factors/);
  await alma.open(linkIn(mail, "/second-factor-reset-cancellation"));
  await alma.check("the cancellation");
  await alma.presses("Cancel the reset");
  await alma.reads("The reset was canceled and all sessions have ended.");
  await alma.open(linkIn(mail, "/second-factor-reset#"));
  await alma.fill({ Username: "alma.lind", Password: PASSWORD });
  await alma.presses("Remove second factors");
  await alma.page.getByRole("alert").waitFor();
  await alma.check("a canceled reset");
  await alma.open("/group/app/next");
  await alma.sees("Confirm that it is you");
  await entersCode(alma, await app.next());
  await alma.sees("Hello, Alma");
  await alma.leaves();
}));

test("so_04 an application that requires a second factor opens after one was set up", journey(async (v) => {
  const home = `${applications()}/group`;
  const query = new URLSearchParams({ response_type: "code", client_id: "enrollment-desk", redirect_uri: `${home}/callback`, scope: "openid", state: "s-1", code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", code_challenge_method: "S256", acr_values: "http://idmanagement.gov/ns/assurance/aal/2" });
  await v.open(`/group/app/authorize?${query}`);
  await v.fill({ Username: "ruth.okafor", Password: PASSWORD });
  await v.presses("Sign in");
  await v.sees("Open Enrollment desk");
  await v.check("the choice of a second factor");
  await addsApp(v);
  await v.sees("Recovery codes");
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.page.waitForURL((url) => url.href.startsWith(`${home}/callback?`));
  const back = new URL(v.page.url()).searchParams;
  assert.equal(back.get("state"), "s-1");
  assert.ok(back.get("code"), v.page.url());
  await v.open("/group/app/");
  await v.signsOut("group");
}));
