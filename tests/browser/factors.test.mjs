import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { App, PASSWORD, Visitor, email, journey, registers } from "./harness.mjs";

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

/** Adds an authenticator app and returns it. */
async function addsApp(v, name = "Phone") {
  await v.page.getByRole("link", { name: "Add an authenticator app" }).click();
  await v.sees("Add an authenticator app");
  await v.page.getByText("Enter a key instead").click();
  const app = new App(await v.page.locator(".key").textContent());
  await v.fill({ Name: name, Code: await app.next() });
  await v.presses("Add app");
  await v.reads(`The authenticator app ${name} was added.`);
  return app;
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
  await v.open(`${PORTAL}/next`);
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
  // They are shown once.
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

  await v.open(`${PORTAL}/sign-out`);
  await v.presses("Sign out");
  await v.sees("You are signed out");
  await authenticator.verifiesUser(false);
  await v.follows("Sign in");
  await v.sees("Sign in");
  await v.presses("Sign in with a passkey");
  await v.page.getByRole("alert").waitFor();
  await v.check("no passkey");
  await authenticator.verifiesUser(true);
  await v.presses("Sign in with a passkey");
  await v.sees("Hello, Jasmine");

  // With the password, the passkey is the second factor.
  const cookies = await v.context.cookies();
  assert.ok(cookies.length > 0);
  await v.context.clearCookies();
  await v.open(`${PORTAL}/sign-in`);
  assert.equal(await v.field("Username").getAttribute("autocomplete"), "username webauthn");
  await email(`${username}@guarded.example`, /passkey was added/);
}));
