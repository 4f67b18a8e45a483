import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSWORD, Visitor, email, emails, journey, linkTo, people } from "./harness.mjs";

const primary = () => people().find((p) => p.portal === "provider" && /Primary user of Lakeside/.test(p.who));

async function adds(v, first, last, address) {
  await v.open("/provider/app/users/add");
  await v.fill({ "First name": first, "Last name": last, "Email address": address });
  await v.page.getByRole("radio", { name: "User", exact: true }).check();
  await v.page.getByLabel("Claims").check();
  await v.presses("Add user");
  await v.reads(`${first} ${last} was added`);
}

const codeIn = (mail) => ({ code: /RC\d{6}/.exec(mail.text)[0], username: /Username:\s+(\S+)/.exec(mail.text)[1] });

async function redeems(v, { code, username }) {
  await v.open("/provider/app");
  await v.follows("Enter your registration code");
  await v.fill({ Username: username, "Registration code": code });
  await v.presses("Continue");
  await v.fill({ Password: PASSWORD });
  await v.presses("Continue");
  await v.fill({ "Hint question": "What was my first car?", "Hint answer": "A green Beetle" });
  await v.presses("Continue");
  await v.presses("Complete registration");
}

test("bl_02 bl_07 bl_08 bl_09 bl_16 a user who was added completes the registration with the resent code", journey(async (v) => {
  await v.worksFor("Lakeside Family Medicine", "provider", primary().username);
  await adds(v, "Nell", "Fox", "nell@lakeside.example");
  const first = codeIn(await email("nell@lakeside.example", /code|account|registration/i));
  await v.page.getByRole("row", { name: /Nell Fox/ }).getByText("Not completed").waitFor();
  await v.follows("Nell Fox");
  const earlier = emails("nell@lakeside.example").length;
  await v.presses("Send a new registration code");
  await v.reads("The earlier one no longer works.");
  const second = codeIn(await email("nell@lakeside.example", /code|account|registration/i, { after: earlier }));
  assert.notEqual(second.code, first.code);
  const nell = await Visitor.create();
  await redeems(nell, second);
  await nell.sees("Hello, Nell");
  await nell.check();
  await nell.leaves();
  await v.page.reload();
  await v.page.getByRole("main").getByText("Active", { exact: true }).waitFor();
}));

test("bl_04 bl_05 bl_06 before the PIN there is no access, and the help desk reissues a lost letter", journey(async (v) => {
  const waiting = people().find((p) => p.portal === "provider" && /Mercy Street/.test(p.who));
  await v.signsIn("provider", waiting.username);
  await v.sees("Enter your PIN");
  await v.page.getByText("Lost your PIN?").waitFor();
  assert.equal(await v.page.getByRole("button", { name: "Issue new PIN" }).count(), 0);
  await v.open("/provider/app/users");
  await v.sees("Enter your PIN");
}));

test("bl_10 the form of the agreement can be downloaded during registration", journey(async (v) => {
  await v.open("/provider/app/register");
  await v.page.getByRole("radio", { name: "Billing agency" }).check();
  await v.presses("Continue");
  await v.page.getByRole("link", { name: /Download the Signatory Agreement/ }).waitFor();
}));

test("bl_11 bl_13 a user changes name, hint, links and subscriptions in the profile", journey(async (v) => {
  await v.worksFor("Lakeside Family Medicine", "provider", primary().username);
  await v.open("/provider/app/profile");
  await v.page.getByRole("link", { name: "Change hint question" }).click();
  await v.fill({ "Hint question": "What was my second car?", "Hint answer": "A red Beetle", "Your password": PASSWORD });
  await v.presses("Save hint question");
  await v.reads("Your hint question was changed.");
  await v.page.getByRole("link", { name: "Change e-news subscriptions" }).click();
  await v.page.getByLabel("Provider News").check();
  await v.presses("Save subscriptions");
  await v.reads("Your subscriptions were changed.");
  await v.page.getByRole("link", { name: "Change links" }).click();
  await v.fill({ Title: "Fee schedule", Address: "not an address" });
  await v.presses("Add link");
  await v.page.getByRole("alert").waitFor();
  await v.check("an invalid link");
  await v.fill({ Address: "https://www.example.com/fees" });
  await v.presses("Add link");
  await v.reads("The link was added.");
  await v.check("links");
  await v.presses("Remove Fee schedule");
  await v.reads("The link was removed.");
}));

test("bl_12 pg_04 a new email address is confirmed by the link in the email", journey(async (v) => {
  await v.worksFor("Lakeside Family Medicine", "provider", primary().username);
  await v.open("/provider/app/profile/email");
  await v.fill({ "New email address": "new.address@lakeside.example", Password: PASSWORD });
  await v.presses("Send confirmation link");
  await v.reads("We sent a link to new.address@lakeside.example.");
  await v.open(await linkTo("new.address@lakeside.example", "/email-confirmation"));
  assert.ok(!v.page.url().includes("token"));
  await v.check("the confirmation");
  await v.presses("Confirm email address");
  await v.reads("Your email address was changed.");
}));

test("bl_14 bl_15 pg_04 a forgotten username is emailed, and a forgotten password is replaced with the link and the hint", journey(async (v) => {
  const nell = codeIn(await email("nell@lakeside.example", /code|account|registration/i));
  await v.open("/provider/app/sign-in");
  await v.follows("Forgot your username?");
  await v.fill({ "Email address": "nell@lakeside.example" });
  await v.presses("Send my username");
  await v.sees("Check your email");
  await email("nell@lakeside.example", /username/i);
  await v.open("/provider/app/forgot-password");
  await v.fill({ Username: nell.username });
  await v.presses("Continue");
  await v.sees("Check your email");
  await v.open(await linkTo("nell@lakeside.example", "/password-reset"));
  await v.sees("Choose a new password");
  await v.fill({ "What was my first car?": "A green Beetle", "New password": "Calm-Meadow-73!" });
  await v.presses("Set new password");
  await v.reads("Your password was changed and all sessions have ended.");
  await v.fill({ Username: nell.username, Password: "Calm-Meadow-73!" });
  await v.presses("Sign in");
  await v.sees("Hello, Nell");
}));

test("bl_17 the address of a user of another organization shows nothing", journey(async (v) => {
  await v.worksFor("Lakeside Family Medicine", "provider", primary().username);
  await v.open("/provider/app/users/00000000000000000000000000");
  await v.page.getByRole("heading", { level: 1 }).waitFor();
  assert.equal(await v.page.locator("dl").count(), 0);
}));
