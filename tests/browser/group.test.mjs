import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSWORD, Visitor, acceptsInvitation, applications, email, emails, journey, linkIn, linkTo, registers, until } from "./harness.mjs";

const ruth = (v) => v.signsIn("group", "ruth.okafor");

async function invites(v, first, last, address, role = "Staff") {
  await v.open("/group/app/invitations/new");
  await v.fill({ "First name": first, "Last name": last, "Email address": address });
  await v.page.getByRole("radio", { name: role }).check();
  await v.presses("Send invitation");
  await v.reads(`An invitation was sent to ${address}.`);
}

test("ag_01 ag_08 an invited person registers with the link, and an administrator approves them", journey(async (v) => {
  await ruth(v);
  await invites(v, "Ivy", "Chen", "ivy@blueheron.example");
  await v.check("invitations");
  const ivy = await Visitor.create();
  await acceptsInvitation(ivy, "ivy@blueheron.example", "ivy.chen");
  await ivy.sees("Waiting for approval");
  await ivy.check();
  await email("ruth@blueheron.example", /needs your approval/);
  await v.open("/group/app/users");
  await v.fill({ Search: "ivy" });
  await v.presses("Search");
  await v.reads("Showing 1 user.");
  await v.follows("Ivy Chen");
  await v.follows("Approve");
  await v.page.getByLabel("Reports").check();
  await v.page.getByLabel("BH01").check();
  await v.check("approval");
  await v.presses("Approve");
  await v.reads("Ivy Chen was approved and has access now.");
  await ivy.presses("Check again");
  await ivy.sees("Hello, Ivy");
  await ivy.follows("Reports");
  await ivy.reads("You have access to Reports");
  await ivy.leaves();
}));

test("ag_01 a resent invitation replaces the earlier link", journey(async (v) => {
  await ruth(v);
  await invites(v, "Leo", "Park", "leo@blueheron.example");
  const first = await linkTo("leo@blueheron.example", "/invitations/accept");
  await v.page.getByRole("row", { name: /leo@/ }).getByRole("button", { name: "Resend" }).click();
  await v.reads("The link in the earlier email no longer works.");
  const guest = await Visitor.create();
  await guest.open(first);
  await guest.reads(/no longer|newer|not valid|isn't valid|unknown/i);
  await guest.check("an old link");
  await guest.leaves();
}));

test("ux_01 a revoked invitation cannot be used", journey(async (v) => {
  await ruth(v);
  await invites(v, "Kit", "Moss", "kit@blueheron.example");
  const link = await linkTo("kit@blueheron.example", "/invitations/accept");
  await v.page.getByRole("row", { name: /kit@/ }).getByRole("button", { name: "Revoke" }).click();
  await v.reads("The invitation of Kit Moss was revoked.");
  await v.signsOut("group");
  await v.open(link);
  await v.reads(/revoked|withdrawn|no longer/i);
}));

test("ag_03 ag_04 ag_07 a principal registers, attests to signing authority and is asked to add a backup", journey(async (v) => {
  await v.open("/group/app");
  await v.follows("Register now");
  await v.sees("Find your record");
  await registers(v, { first: "Chandra", last: "Rao", email: "chandra@cedarandpine.example", username: "chandra.rao", verification: { "Group number": "GR20002", "Last four digits of the group's tax ID": "5678" } });
  await v.sees("Check what you entered");
  await v.presses("Register");
  await v.page.getByRole("alert").getByText("Confirm that you have signing authority.").waitFor();
  await v.check("an error");
  await v.page.getByLabel("I have the authority to sign for my organization").check();
  await v.presses("Register");
  await v.reads("Your organization has only one administrator");
  await v.follows("Add a backup administrator");
  assert.ok(await v.page.getByRole("radio", { name: "Administrator" }).isChecked());
}));

test("ag_06 ag_18 a registration that does not match names the help desk and no field", journey(async (v) => {
  await v.open("/group/app/register");
  await registers(v, { first: "Max", last: "Wrong", email: "max@wrong.example", username: "max.wrong", verification: { "Group number": "GR20003", "Last four digits of the group's tax ID": "0000" } });
  await v.page.getByLabel("I have the authority to sign for my organization").check();
  await v.presses("Register");
  const alert = v.page.getByRole("alert");
  await alert.getByText("(312) 555-0120").first().waitFor();
  assert.doesNotMatch(await alert.textContent(), /tax ID|group number/i);
}));

test("ag_09 ag_10 a removed user is signed out at the next click", journey(async (v) => {
  await ruth(v);
  await invites(v, "Ona", "Reed", "ona@blueheron.example");
  const ona = await Visitor.create();
  await acceptsInvitation(ona, "ona@blueheron.example", "ona.reed");
  await ona.sees("Waiting for approval");
  await v.searchesUsers("group", "ona.reed");
  await v.follows("Ona Reed");
  await v.follows("Remove");
  await v.sees("Remove Ona Reed?");
  await v.check("the question");
  await v.presses("Remove user");
  await v.reads("Ona Reed was removed.");
  await ona.presses("Check again");
  await ona.sees("Sign in");
  await ona.leaves();
}));

test("ag_10 only the principal invites a removed user again, who registers again", journey(async (v) => {
  await ruth(v);
  await invites(v, "Uma", "Reed", "uma@blueheron.example");
  const first = await Visitor.create();
  await acceptsInvitation(first, "uma@blueheron.example", "uma.reed");
  await first.sees("Waiting for approval");
  await first.leaves();
  await v.searchesUsers("group", "uma.reed");
  await v.follows("Uma Reed");
  await v.follows("Remove");
  await v.presses("Remove user");
  await v.reads("Uma Reed was removed.");
  const alma = await Visitor.create();
  await alma.signsIn("group", "alma.lind");
  await alma.open("/group/app/invitations/new");
  await alma.fill({ "First name": "Uma", "Last name": "Reed", "Email address": "uma@blueheron.example" });
  await alma.page.getByRole("radio", { name: "Staff" }).check();
  await alma.presses("Send invitation");
  await alma.page.getByRole("alert").getByText(/principal/i).waitFor();
  await alma.check("an administrator");
  await alma.leaves();
  const earlier = emails("uma@blueheron.example").length;
  await invites(v, "Uma", "Reed", "uma@blueheron.example");
  const again = await Visitor.create();
  await again.open("/group/app/sign-in");
  await again.fill({ Username: "uma.reed", Password: PASSWORD });
  await again.presses("Sign in");
  await again.page.getByRole("alert").waitFor();
  await acceptsInvitation(again, "uma@blueheron.example", "uma.reed.again", earlier);
  await again.sees("Waiting for approval");
  await again.leaves();
}));

test("ag_08 bl_01 a person who has a username joins another organization from the invitation", journey(async (v) => {
  await ruth(v);
  await invites(v, "Chandra", "Rao", "chandra@cedarandpine.example");
  const mail = await email("chandra@cedarandpine.example", /invit/i);
  const guest = await Visitor.create();
  await guest.open(linkIn(mail, "/invitations/accept"));
  await guest.follows("Sign in and join with it");
  await guest.fill({ Username: "chandra.rao", Password: PASSWORD });
  await guest.presses("Sign in");
  await guest.sees("Join Blue Heron Manufacturing");
  await guest.check("joining");
  await guest.presses("Join with this username");
  await guest.sees("Waiting for approval");
  await guest.reads("You joined Blue Heron Manufacturing.");
  await guest.leaves();
}));

test("ag_15 ex_14 the profile lists who manages the access", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/profile");
  await v.reads("Who manages your access");
  await v.page.getByRole("link", { name: "ruth@blueheron.example" }).waitFor();
}));

test("ag_17 a user sends feedback about the site", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.page.getByRole("contentinfo").getByRole("link", { name: "Send feedback about this site" }).click();
  await v.presses("Send feedback");
  await v.page.getByRole("alert").getByText("Enter your feedback.").waitFor();
  await v.fill({ "Your feedback": "The new pages are easy to use." });
  await v.presses("Send feedback");
  await v.reads("Your feedback was sent.");
  await email("group-services@harborlight.example", /feedback/i, { text: /easy to use/ });
}));

test("so_01 so_03 a user signs in to an application through the portal, and signing out ends both", journey(async (v) => {
  await v.page.goto(`${applications()}/group/`);
  await v.page.getByRole("link", { name: "Sign in with Harborlight for Groups" }).click();
  await v.fill({ Username: "sam.lind", Password: PASSWORD });
  await v.presses("Sign in");
  await v.page.getByText("You are signed in.").waitFor();
  await v.page.getByRole("row", { name: /preferred_username.*sam\.lind/ }).waitFor();
  await v.signsOut("group");
  await v.page.goto(`${applications()}/group/`);
  await until("the notice to the application", async () => {
    await v.page.reload();
    return v.page.getByText("You are not signed in here.").isVisible();
  });
  await v.open("/group/app/");
}));

test("ux_05 a user sees the open sessions and ends another one", journey(async (v) => {
  const elsewhere = await Visitor.create();
  await elsewhere.signsIn("group", "alma.lind");
  await v.signsIn("group", "alma.lind");
  await v.open("/group/app/profile/sessions");
  // The latest of the others; journeys before this one left theirs open.
  await v.page.getByRole("button", { name: /^End session from/ }).first().click();
  await v.reads("The session has ended.");
  await elsewhere.page.getByRole("navigation").getByRole("link", { name: "Users" }).click();
  await elsewhere.sees("Sign in");
  await elsewhere.reads("Your session has expired.");
  await elsewhere.leaves();
}));

test("ux_08 a list of invitations has a result for each row", journey(async (v) => {
  await ruth(v);
  await v.open("/group/app/invitations/upload");
  const rows = ["email,first_name,last_name,role", "una@blueheron.example,Una,Bell,user", "not an address,Bad,Row,user", "sam@blueheron.example,Sam,Lind,user"];
  await v.page.getByLabel("CSV file").setInputFiles({ name: "staff.csv", mimeType: "text/csv", buffer: Buffer.from(rows.join("\n")) });
  await v.presses("Upload");
  await v.page.getByRole("row", { name: /Row 2.*Done/ }).waitFor();
  await v.page.getByRole("row", { name: /Row 3.*Not accepted/ }).waitFor();
  await v.page.getByRole("row", { name: /Row 4.*Was already there/ }).waitFor();
  await email("una@blueheron.example", /invit/i);
}));

test("ux_11 an administrator searches the audit trail and downloads it", journey(async (v) => {
  await ruth(v);
  await v.open("/group/app/audit-trail");
  await v.fill({ Username: "sam.lind" });
  await v.page.getByLabel("Action").selectOption("approve_user");
  await v.presses("Search");
  await v.page.getByRole("row", { name: /ruth\.okafor.*Approved a user.*sam\.lind/ }).first().waitFor();
  await v.check("results");
  const [download] = await Promise.all([v.page.waitForEvent("download"), v.presses("Download as CSV")]);
  assert.equal(download.suggestedFilename(), "audit-trail.csv");
}));

test("ag_02 a user changes the password at any time, and the old one no longer works", journey(async (v) => {
  await ruth(v);
  await invites(v, "Pia", "Holm", "pia@blueheron.example");
  const pia = await Visitor.create();
  await acceptsInvitation(pia, "pia@blueheron.example", "pia.holm");
  await pia.follows("My profile");
  await pia.page.getByRole("link", { name: "Change password" }).click();
  await pia.fill({ "Current password": PASSWORD, "New password": "short" });
  await pia.presses("Change password");
  await pia.page.getByRole("alert").waitFor();
  await pia.check("a refused password");
  await pia.fill({ "Current password": PASSWORD, "New password": "Calm-Meadow-73!" });
  await pia.presses("Change password");
  await pia.reads("Your password was changed");
  await pia.leaves();
  await v.signsOut("group");
  await v.open("/group/app/sign-in");
  await v.fill({ Username: "pia.holm", Password: PASSWORD });
  await v.presses("Sign in");
  await v.page.getByRole("alert").waitFor();
  await v.fill({ Password: "Calm-Meadow-73!" });
  await v.presses("Sign in");
  await v.sees("Waiting for approval");
}));
