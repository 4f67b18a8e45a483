import { test } from "node:test";
import assert from "node:assert/strict";
import { Visitor, email, journey, linkTo, people, pinFor, protects } from "./harness.mjs";

const staff = (who) => people().find((p) => p.portal === "help-desk" && who.test(p.who) && p.password);

async function finds(v, portal, username) {
  await v.page.getByRole("navigation").getByRole("link", { name: "Find an account" }).click();
  await v.page.getByLabel("Portal", { exact: true }).selectOption(portal);
  await v.page.getByRole("radio", { name: "Username" }).check();
  await v.fill({ "Search for": username });
  await v.presses("Find account");
}

test("pg_03 ux_12 bl_14 an agent finds an account, understands it and sends a link for a new password with a reason", journey(async (v) => {
  const agent = staff(/agent|act/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await v.sees(/Hello/);
  await v.check("home");
  await finds(v, "group", "sam.lind");
  await v.sees("Sam Lind");
  await v.check("account");
  await v.follows("Send a link for a new password");
  await v.presses("Send a link for a new password");
  await v.page.getByRole("alert").getByText("Enter a reason.").waitFor();
  await v.check("no reason");
  await v.fill({ Reason: "Caller forgot the password and confirmed the address" });
  await v.presses("Send a link for a new password");
  await v.reads("The owner was notified by email.");
  await linkTo("sam@blueheron.example", "/password-reset");
  assert.ok(!v.page.url().includes("sam.lind"), "no personal data in the address");
}));

test("me_09 the help desk changes a member's username", journey(async (v) => {
  const agent = staff(/agent|act/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await finds(v, "member", "grace.kim");
  await v.follows("Change the username");
  await v.fill({ "New username": "grace.kim2", Reason: "The member asked for another username" });
  await v.presses("Change the username");
  await v.reads("Done: change the username.");
  await v.reads("grace.kim2");
  await v.follows("Change the username");
  await v.fill({ "New username": "grace.kim", Reason: "The member asked for the old username" });
  await v.presses("Change the username");
  await v.reads("Done: change the username.");
}));

test("se_09 pg_03 an agent unlocks a plan record for a caller who cannot register", journey(async (v) => {
  const agent = staff(/agent|act/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await v.page.getByRole("navigation").getByRole("link", { name: "Find an account" }).click();
  await v.follows("unlock the plan record");
  await v.sees("Unlock a plan record");
  await v.presses("Unlock");
  for (const text of ["Select a portal.", "Enter the number.", "Enter a reason."]) await v.page.getByRole("alert").getByText(text).waitFor();
  await v.check("nothing entered");
  await v.page.getByLabel("Portal", { exact: true }).selectOption("member");
  await v.fill({ "Number in the plan's records": "999999999", Reason: "Caller mistyped the birth date often, and answered all questions" });
  await v.presses("Unlock");
  await v.page.getByRole("alert").getByText(/plan record/i).waitFor();
  await v.check("an unknown number");
  await v.page.getByLabel("Portal", { exact: true }).selectOption("agent");
  await v.fill({ "Number in the plan's records": "AG10002" });
  await v.presses("Unlock");
  await v.reads("The record is unlocked. The caller can register now.");
  assert.ok(!/AG10002|999999999/.test(v.page.url()), "no number in the address");
  await v.open("/help-desk/app/accounts/audit-trail");
  await v.page.getByLabel("Portal", { exact: true }).selectOption("agent");
  await v.page.getByLabel("Action").selectOption("unlock_record");
  await v.presses("Search");
  await v.page.getByRole("row", { name: /Unlocked a plan record.*mistyped/ }).first().waitFor();
}));

test("ux_12 a reader sees accounts and has no actions", journey(async (v) => {
  const reader = staff(/reader|read/i);
  await v.signsIn("help-desk", reader.username, reader.password);
  await finds(v, "group", "sam.lind");
  await v.sees("Sam Lind");
  await v.reads("You can view accounts and not change them.");
}));

test("ux_11 the help desk searches the trail of a portal", journey(async (v) => {
  const agent = staff(/agent|act/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await v.open("/help-desk/app/accounts/audit-trail");
  await v.page.getByLabel("Portal", { exact: true }).selectOption("group");
  await v.presses("Search");
  await v.page.getByRole("row", { name: /Signed in/ }).first().waitFor();
}));

test("bl_01 bl_03 bl_04 bl_10 a user registers for a billing agency, the help desk records the agreement, and the PIN activates it", journey(async (v) => {
  const helen = people().find((p) => p.portal === "provider" && p.name === "Helen Brandt");
  const user = await Visitor.create();
  await user.signsIn("provider", helen.username);
  await user.open("/provider/app/profile/organizations/add");
  await user.page.getByRole("radio", { name: "Billing agency" }).check();
  await user.presses("Continue");
  await user.check("the form");
  await user.fill({ "Provider ID": "PV30005", "Tax ID": "007890123", "Street address": "77 Clearwater Lane", City: "Chicago", "ZIP Code or postal code (optional)": "60601", "State or region (optional)": "IL" });
  await user.presses("Register for this organization");
  await user.sees("Signatory Agreement");
  await user.reads("Your PIN letter is mailed when we have recorded it.");
  await user.check("waiting for the agreement");

  const agent = staff(/agent/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await finds(v, "provider", helen.username);
  await v.follows("Record a signed agreement");
  await v.page.getByRole("radio", { name: /Signatory Agreement/ }).check();
  if (await v.page.getByRole("radio", { name: "Clearwater Billing Services" }).count()) await v.page.getByRole("radio", { name: "Clearwater Billing Services" }).check();
  await v.fill({ Reason: "The signed form arrived by mail" });
  await v.presses("Record a signed agreement");
  await v.reads("Done: record a signed agreement.");

  const pin = await pinFor("Helen Brandt", undefined, "77 Clearwater Lane");
  await user.page.reload();
  await user.fill({ PIN: pin });
  await user.presses("Activate account");
  await user.sees("Hello, Helen");
  await user.reads("Clearwater Billing Services");
  await user.follows("Switch organization");
  await user.page.getByRole("radio", { name: "Lakeside Family Medicine" }).check();
  await user.presses("Continue");
  await user.reads("You are working for Lakeside Family Medicine");
  await user.leaves();
}));

test("mf_06 the help desk starts a reset for a member, who completes it with the PIN of a letter", journey(async (v) => {
  const grace = await Visitor.create();
  await grace.signsIn("member", "grace.kim");
  await protects(grace, "member");
  await grace.signsOut("member");
  const agent = staff(/agent|act/i);
  await v.signsIn("help-desk", agent.username, agent.password);
  await finds(v, "member", "grace.kim");
  await v.sees("Grace Kim");
  const earlier = await pinFor("Grace Kim");
  await v.follows("Reset second factors");
  await v.fill({ Reason: "The member lost the phone; identity checked with the member ID" });
  await v.check("the action");
  await v.presses("Reset second factors");
  await v.reads("Reset started");
  await v.check("the account");
  await grace.signsIn("member", "grace.kim");
  await grace.reads("We mailed you a letter with a PIN.");
  await grace.check("the PIN");
  const pin = await pinFor("Grace Kim", earlier);
  await grace.fill({ "PIN from the letter": pin === "000000" ? "111111" : pin.replace(/./g, (d) => (Number(d) + 1) % 10) });
  await grace.presses("Remove second factors");
  await grace.page.getByRole("alert").waitFor();
  await grace.check("a wrong PIN");
  await grace.fill({ "PIN from the letter": pin });
  await grace.presses("Remove second factors");
  await grace.sees("Hello, Grace");
  await grace.reads("Your second factors were removed.");
  await grace.leaves();
}));
