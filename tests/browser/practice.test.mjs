import { test } from "node:test";
import { PASSWORD, Visitor, journey, registers } from "./harness.mjs";

const works = (v) => v.worksFor("Lakeside Family Medicine", "practice", "pat.novak");

test("ex_04 a nonparticipating practice is referred to customer care", journey(async (v) => {
  await v.open("/practice/app/register");
  await v.page.getByRole("radio", { name: "Medical group, facility or individual practice" }).check();
  await v.presses("Continue");
  await registers(v, { first: "Sue", last: "Summit", email: "sue@summit.example", username: "sue.summit", verification: { "Provider ID": "PV30004", "Tax ID": "006789012" } });
  await v.presses("Register");
  await v.page.getByRole("alert").getByText(/Customer Care/).first().waitFor();
}));

test("ex_05 a dental provider registers with provider ID and tax ID", journey(async (v) => {
  await v.open("/practice/app/register/dental");
  await registers(v, { first: "Ola", last: "Oakview", email: "ola@oakview.example", username: "ola.oakview", verification: { "Provider ID": "PV30003", "Tax ID": "005678901" } });
  await v.presses("Register");
  await v.sees("Hello, Ola");
}));

test("ex_09 ex_13 an office manager creates a staff account, whose initial password must be changed", journey(async (v) => {
  await works(v);
  await v.open("/practice/app/users/add");
  await v.fill({ "First name": "Rex", "Last name": "Lind", "Email address": "rex+desk@lakeside.example", Username: "rex.lind", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Staff" }).check();
  await v.check("the form");
  await v.presses("Add user");
  await v.reads("Rex Lind was added with the username rex.lind.");
  const rex = await Visitor.create();
  await rex.signsIn("practice", "rex.lind", "First-Visit-21!");
  await rex.sees("Choose a new password");
  await rex.check();
  await rex.fill({ "Current password": "First-Visit-21!", "New password": PASSWORD });
  await rex.presses("Change password");
  await rex.sees("Hello, Rex");
  await rex.leaves();
}));

test("ex_11 a manager starts a review of access and confirms an account", journey(async (v) => {
  await works(v);
  await v.page.getByRole("navigation").getByRole("link", { name: "Access review" }).click();
  await v.sees("Access review");
  const start = v.page.getByRole("button", { name: "Start a review" });
  if (await start.count()) await start.click();
  // Another journey may have confirmed the only account before.
  const confirm = v.page.getByRole("button", { name: "Confirm" }).first();
  await v.page.getByRole("row", { name: /Confirmed by you|Confirm/ }).first().waitFor();
  if (await confirm.count()) {
    await confirm.click();
    await v.reads(/: confirmed\./);
  }
  await v.page.getByRole("row", { name: /Confirmed by you/ }).first().waitFor();
  await v.follows("Show only accounts that are not reviewed");
}));

test("ex_02 an audit trail shows who signed in and from where", journey(async (v) => {
  await works(v);
  await v.open("/practice/app/audit-trail?action=sign_in");
  await v.page.getByRole("row", { name: /rex\.lind.*Signed in/ }).first().waitFor();
}));

test("ex_14 a user finds out who manages the access", journey(async (v) => {
  await v.signsIn("practice", "omar.haddad");
  await v.sees("Hello, Omar");
  await v.open("/practice/app/profile");
  await v.page.getByRole("heading", { level: 2, name: "Who manages your access" }).waitFor();
  await v.page.getByRole("main").getByRole("listitem").filter({ hasText: /Omar Haddad/ }).getByRole("link", { name: /@/ }).waitFor();
}));

test("ex_10 a provider lets an office manager control access and takes it back", journey(async (v) => {
  await v.signsIn("practice", "omar.haddad");
  await v.sees("Hello, Omar");
  await v.open("/practice/app/users/add");
  await v.fill({ "First name": "Ines", "Last name": "Desk", "Email address": "ines@riverbend.example", Username: "ines.desk", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Office manager" }).check();
  await v.presses("Add user");
  await v.reads("Ines Desk was added with the username ines.desk.");
  const ines = await Visitor.create();
  await ines.signsIn("practice", "ines.desk", "First-Visit-21!");
  await ines.fill({ "Current password": "First-Visit-21!", "New password": PASSWORD });
  await ines.presses("Change password");
  await ines.sees("Hello, Ines");
  await ines.page.getByRole("navigation").getByRole("link", { name: "Users" }).click();
  await ines.sees("Users");
  await ines.check("an office manager");
  await v.follows("Ines Desk");
  await v.follows("Change access");
  await v.page.getByRole("radio", { name: "Staff" }).check();
  await v.check("the access");
  await v.presses("Save access");
  await v.reads("The access of Ines Desk was changed.");
  // At the next click.
  await ines.follows("Omar Haddad");
  await ines.page.getByRole("heading", { level: 1, name: /not allowed|permission|access/i }).waitFor();
  await ines.check("no longer");
  await ines.leaves();
}));
