import { test } from "node:test";
import assert from "node:assert/strict";
import { email, journey, linkIn, people } from "./harness.mjs";

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
  linkIn(await email("sam@blueheron.example", /password/i), "/password-reset");
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
  await v.page.getByRole("row", { name: /Sign-in/ }).first().waitFor();
}));
