import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { PASSWORD, Visitor, journey } from "./harness.mjs";

test("ba_04 ba_06 a disabled user reads the message and can sign in again when reinstated", journey(async (v) => {
  await v.signsIn("producer", "dana.whitfield");
  await v.searchesUsers("producer", "cole");
  await v.follows("Cole Lind");
  await v.follows("Disable");
  await v.check("the question");
  await v.presses("Disable account");
  await v.reads("Cole Lind was disabled.");
  const cole = await Visitor.create();
  await cole.open("/producer/app/sign-in");
  await cole.fill({ Username: "cole.lind", Password: PASSWORD });
  await cole.presses("Sign in");
  await cole.page.getByRole("alert").getByText("This user ID no longer has access to the system. Please contact your security administrator for more information.").waitFor();
  await cole.check("the message");
  await v.presses("Reinstate");
  await v.reads("Cole Lind can sign in again.");
  await cole.presses("Sign in");
  await cole.sees("Hello, Cole");
  await cole.leaves();
}));

test("ba_05 a wrong password and an unknown username show the same message", journey(async (v) => {
  const message = "Login failed due to either an invalid user ID and/or password, or a connection cannot be established. Please try again.";
  await v.open("/producer/app/sign-in");
  for (const name of ["dana.whitfield", "nobody.known"]) {
    await v.fill({ Username: name, Password: "Wrong-River-58!" });
    await v.presses("Sign in");
    await v.page.getByRole("alert").getByText(message).waitFor();
  }
}));

test("ba_07 a primary producer sees the last sign-in of each sub-user", journey(async (v) => {
  await v.signsIn("producer", "dana.whitfield");
  await v.open("/producer/app/users");
  await v.page.getByRole("columnheader", { name: "Last sign-in" }).waitFor();
}));

test("ba_08 ba_09 a delegated administrator searches current users and downloads the list with the last sign-in", journey(async (v) => {
  await v.signsIn("employer", "lena.fischer");
  await v.open("/employer/app/users");
  await v.fill({ Search: "lena" });
  await v.presses("Search");
  await v.page.getByRole("row", { name: /Lena Fischer/ }).waitFor();
  const [download] = await Promise.all([v.page.waitForEvent("download"), v.presses("Download all users (CSV)")]);
  const text = readFileSync(await download.path(), "utf8");
  assert.match(text.split("\n")[0], /last_sign_in/);
  assert.match(text, /lena\.fischer/);
}));
