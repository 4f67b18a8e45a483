// The main journey of each portal by keyboard alone.
import { test } from "node:test";
import { email, journey, people, person } from "./harness.mjs";

test("pg_01 ag_01 group: a principal signs in and invites someone by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("group", "ruth.okafor");
  await v.sees("Hello, Ruth");
  await v.enters("Invitations");
  await v.sees("Invitations");
  await v.enters("Invite a user");
  await v.sees("Invite a user");
  await v.types({ "First name": "Kay", "Last name": "Board", "Email address": "kay@blueheron.example" });
  // In a group of radio buttons, Tab reaches one and the arrows reach the others.
  await v.page.keyboard.press("Tab");
  await v.page.keyboard.press("Space");
  await v.page.keyboard.press("Enter");
  await v.reads("An invitation was sent to kay@blueheron.example.");
}));

test("pg_01 ag_12 agent: a managing agent looks up an agent by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("agent", "dana.whitfield");
  await v.sees("Hello, Dana");
  await v.enters("Agents");
  await v.sees("Agents under you");
  await v.types({ Search: "AG10003" });
  await v.page.keyboard.press("Enter");
  await v.page.getByRole("row", { name: /Priya Nair/ }).waitFor();
}));

test("pg_01 bl_11 member: a member changes the name by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("member", "grace.kim");
  await v.sees("Hello, Grace");
  await v.enters("My profile");
  await v.sees("My profile");
  await v.enters("Change name");
  await v.sees("Change your name");
  await v.tabsTo("Last name");
  await v.page.keyboard.press("End");
  await v.page.keyboard.type("-Lee");
  await v.page.keyboard.press("Enter");
  await v.reads("Your name was changed.");
  await v.reads("Grace Kim-Lee");
}));

test("pg_01 bl_07 bl_08 provider: a primary user adds a user by keyboard alone", journey(async (v) => {
  const primary = people().find((p) => p.portal === "provider" && /Primary user of Lakeside/.test(p.who));
  await v.signsInByKeyboard("provider", primary.username);
  await v.page.getByRole("heading", { level: 1, name: /^(Choose an organization|Hello)/ }).waitFor();
  if (await v.page.getByRole("heading", { level: 1, name: "Choose an organization" }).count()) {
    await v.tabsTo((await v.page.locator(".choice label").first().textContent()).trim());
    await v.page.keyboard.press("Space");
    await v.enters("Continue");
  }
  await v.sees("Hello, Helen");
  await v.enters("Users");
  await v.sees("Users");
  await v.enters("Add a user");
  await v.sees("Add a user");
  await v.types({ "First name": "Tab", "Last name": "Key", "Email address": "tab@lakeside.example" });
  await v.selects("Claims");
  await v.page.keyboard.press("Enter");
  await v.reads("Tab Key was added");
  await email("tab@lakeside.example", /registration|account|code/i);
}));

test("pg_01 ex_11 practice: an office manager confirms an account in the access review by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("practice", "pat.novak");
  await v.sees("Choose an organization");
  const organizations = (await v.page.locator(".choice label").allTextContents()).map((text) => text.trim());
  await v.tabsTo(organizations[0]);
  await v.page.keyboard.press("Space");
  for (let i = 0; i < organizations.indexOf("Lakeside Family Medicine"); i += 1) await v.page.keyboard.press("ArrowDown");
  await v.page.keyboard.press("Enter");
  await v.sees("Hello, Pat");
  await v.enters("Access review");
  await v.sees("Access review");
  const confirm = v.page.getByRole("button", { name: "Confirm" });
  const start = v.page.getByRole("button", { name: "Start a review" });
  if (await start.count()) await v.enters("Start a review");
  await confirm.first().waitFor();
  await v.enters((await confirm.first().textContent()).trim());
  await v.reads(/: confirmed\./);
}));

test("pg_01 ba_04 ba_06 producer: a primary producer disables a user and reinstates them by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("producer", "dana.whitfield");
  await v.sees("Hello, Dana");
  await v.enters("Users");
  await v.sees("Users");
  await v.types({ Search: "ines" });
  await v.page.keyboard.press("Enter");
  await v.reads("Showing 1 user.");
  await v.enters(person("producer", "Ines Lind").name);
  await v.sees("Ines Lind");
  await v.enters("Disable");
  await v.sees("Disable Ines Lind?");
  await v.enters("Disable account");
  await v.reads("Ines Lind was disabled.");
  await v.enters("Reinstate");
  await v.reads("Ines Lind can sign in again.");
}));

test("pg_01 ba_09 employer: an administrator downloads the users by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("employer", "lena.fischer");
  await v.sees("Hello, Lena");
  await v.enters("Users");
  await v.sees("Users");
  await v.tabsTo("Download all users (CSV)");
  await Promise.all([v.page.waitForEvent("download"), v.page.keyboard.press("Enter")]);
}));

test("pg_01 pg_03 help desk: an agent helps a caller by keyboard alone", journey(async (v) => {
  await v.signsInByKeyboard("help-desk", "ada.moss");
  await v.sees("Hello, Ada");
  await v.enters("Find an account");
  await v.sees("Find an account");
  await v.tabsTo("Portal");
  await v.page.keyboard.type("Harborlight for Groups");
  await v.types({ "Search for": "nora.lind" });
  await v.page.keyboard.press("Enter");
  await v.sees("Nora Lind");
  await v.enters("Send a link for a new password");
  await v.types({ Reason: "The caller forgot the password" });
  await v.enters("Send a link for a new password");
  await v.reads("The owner was notified by email.");
}));
