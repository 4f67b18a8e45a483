// Journeys that begin months after the first sign-in, on a system of their own whose clock is moved.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PASSWORD, Visitor, acceptsInvitation, email, emails, journey, linkTo, ownSystem, use } from "./harness.mjs";

const NEW_PASSWORD = "Calm-Meadow-73!";
const DAYS = 91;

/** The date some days from now. */
const date = (days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);

/** Changes a policy file. */
function edit(system, portal, change) {
  const file = join(system.portals, `${portal}.toml`);
  writeFileSync(file, change(readFileSync(file, "utf8")));
}

const reregistration = (start, transition, cutoff) => (policy) => `${policy}\n[[campaign]]\nkind = "re_registration"\nstart = ${date(start)}\ncutoff = ${date(cutoff)}\ntransition_days = ${transition}\n`;

const OPTIONS = ["--optional-factors"];

ownSystem(OPTIONS, async (system) => {
  edit(system, "member", (policy) => policy.replace(/\non = \S+\ncreated_before = \S+/, `\non = ${date(60)}\ncreated_before = ${date(60)}`));
  edit(system, "group", reregistration(80, 90, 300));
  edit(system, "agent", reregistration(2, 30, 200));
  await system.start(...OPTIONS);
  use(system.base, system.data);
  const ruth = await Visitor.create();
  await ruth.signsIn("group", "ruth.okafor");
  await ruth.open("/group/app/invitations/new");
  await ruth.fill({ "First name": "Ilse", "Last name": "Late", "Email address": "ilse@blueheron.example" });
  await ruth.page.getByRole("radio", { name: "Staff" }).check();
  await ruth.presses("Send invitation");
  await ruth.reads("An invitation was sent to ilse@blueheron.example.");
  await email("ilse@blueheron.example", /invit/i);
  await ruth.signsOut("group");
  await ruth.open("/group/app/forgot-password");
  await ruth.fill({ Username: "nora.lind" });
  await ruth.presses("Continue");
  await email("nora@blueheron.example", /password/i);
  await ruth.leaves();
  await system.stop();
  edit(system, "practice", (policy) => policy.replace('revision = "2026-10"', 'revision = "2027-02"'));
  system.run("tick", "--days", String(DAYS));
  await system.start(...OPTIONS);
});

/** Signs in with a password that has expired, and chooses another one. */
async function renews(v, portal, username) {
  await v.signsIn(portal, username);
  await v.sees("Choose a new password");
  await v.fill({ "Current password": PASSWORD, "New password": NEW_PASSWORD });
  await v.presses("Change password");
}

test("ag_02 ag_13 an expired password is good only to choose a new one, and the principal registers again before staff", journey(async (v) => {
  await v.signsIn("group", "ruth.okafor");
  await v.sees("Choose a new password");
  await v.reads("Your password has expired");
  await v.check("the step");
  await v.open("/group/app/users");
  await v.sees("Choose a new password");
  await v.fill({ "Current password": PASSWORD, "New password": PASSWORD });
  await v.presses("Change password");
  await v.page.getByRole("alert").waitFor();
  await v.check("the old password again");
  await v.fill({ "Current password": PASSWORD, "New password": NEW_PASSWORD });
  await v.presses("Change password");
  // Where the person wanted to go.
  await v.sees("Users");
  await v.open("/group/app");
  await v.reads("You keep your access until");
  await v.check("the notice");

  const sam = await Visitor.create();
  await renews(sam, "group", "sam.lind");
  await sam.sees("Hello, Sam");
  await sam.follows("Register again now");
  await sam.presses("Register again");
  await sam.page.getByRole("alert").waitFor();
  await sam.check("too early");

  await v.follows("Register again now");
  await v.sees("Register again");
  await v.check("the form");
  await v.fill({ "Group number": "GR20001", "Last four digits of the group's tax ID": "4567" });
  await v.page.getByLabel("I have the authority to sign for my organization").check();
  await v.presses("Register again");
  await v.reads("You are registered again.");
  await sam.presses("Register again");
  await sam.reads("You are registered again.");
  await sam.check();
  await sam.leaves();
}));

test("ux_01 ag_01 an expired invitation says so, and a resent one is accepted", journey(async (v) => {
  await v.open(await linkTo("ilse@blueheron.example", "/invitations/accept"));
  await v.reads(/expired/);
  await v.check("an expired link");
  const earlier = emails("ilse@blueheron.example").length;
  const ruth = await Visitor.create();
  await ruth.open("/group/app/sign-in");
  await ruth.fill({ Username: "alma.lind", Password: PASSWORD });
  await ruth.presses("Sign in");
  await ruth.fill({ "Current password": PASSWORD, "New password": NEW_PASSWORD });
  await ruth.presses("Change password");
  await ruth.sees("Hello, Alma");
  await ruth.open("/group/app/invitations");
  const row = ruth.page.getByRole("row", { name: /ilse@/ });
  await row.getByText("Expired").waitFor();
  await row.getByRole("button", { name: "Resend" }).click();
  await ruth.reads("The link in the earlier email no longer works.");
  await ruth.leaves();
  await acceptsInvitation(v, "ilse@blueheron.example", "ilse.late", earlier);
  await v.sees("Waiting for approval");
}));

test("ux_01 pg_04 an expired link for a new password says so", journey(async (v) => {
  await v.open(await linkTo("nora@blueheron.example", "/password-reset"));
  await v.page.getByRole("heading", { level: 1, name: /link|expired|no longer/i }).waitFor();
  assert.ok(!v.page.url().includes("token"));
}));

test("ag_13 after the transition, an agent registers again before anything else", journey(async (v) => {
  await renews(v, "agent", "dana.whitfield");
  await v.sees("Register again");
  await v.check("the step");
  await v.open("/agent/app/agents");
  await v.sees("Register again");
  await v.fill({ "Agent ID": "AG10001", "Last four digits of your Social Security number": "0000" });
  await v.page.getByLabel("I have the authority to sign for my organization").check();
  await v.presses("Register again");
  await v.page.getByRole("alert").getByText("(312)").first().waitFor();
  await v.check("wrong data");
  await v.fill({ "Last four digits of your Social Security number": "4821" });
  await v.presses("Register again");
  await v.reads("You are registered again.");
}));

test("me_10 a member whose username was released keeps it or chooses another one", journey(async (v) => {
  await v.signsIn("member", "grace.kim");
  await v.sees("Choose a username");
  await v.check("the step");
  await v.fill({ Username: "grace" });
  await v.presses("Save username");
  await v.page.getByRole("alert").waitFor();
  await v.fill({ Username: "grace.kim.chicago" });
  await v.presses("Save username");
  await v.sees("Hello, Grace");
  await v.reads("Your username was saved.");
  const maria = await Visitor.create();
  await maria.signsIn("member", "maria.alvarez");
  await maria.sees("Choose a username");
  // The name of another member has been released, and is free.
  await maria.fill({ Username: "grace.kim" });
  await maria.presses("Save username");
  await maria.sees("Enter your PIN");
  await maria.leaves();
}));

test("ux_13 a new revision of the terms is accepted before anything else", journey(async (v) => {
  await v.signsIn("practice", "pat.novak");
  await v.sees("Choose an organization");
  await v.page.getByRole("radio", { name: "Lakeside Family Medicine" }).check();
  await v.presses("Continue");
  await v.sees("Office Manager Terms of Use");
  await v.reads("Read revision 2027-02 and accept it to continue.");
  await v.check("the step");
  await v.open("/practice/app/users");
  await v.sees("Office Manager Terms of Use");
  await v.presses("Accept");
  await v.page.getByRole("alert").getByText("Read and accept the Office Manager Terms of Use.").waitFor();
  await v.check("not accepted");
  await v.page.getByLabel("I have read and accept the Office Manager Terms of Use").check();
  await v.presses("Accept");
  await v.sees("Users");
}));
