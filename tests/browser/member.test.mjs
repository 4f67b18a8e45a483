import assert from "node:assert/strict";
import { test } from "node:test";
import { PASSWORD, email, journey, pinFor } from "./harness.mjs";

const QUESTIONS = ["What was the name of the first street you lived on?", "What was the name of your first pet?", "In which town did your parents meet?"];
const ANSWERS = ["Maple Street", "Biscuit", "Lake Geneva"];

async function startsRegistration(v, { id, subscriber, born, first, last, address }) {
  await v.open("/member/app");
  await v.follows("Register now");
  const [year, month, day] = born.split("-");
  await v.fill({ "Enrollee ID": id, "Subscriber's last name": subscriber, Month: month, Day: day, Year: year });
  await v.presses("Continue");
  await v.fill({ "First name": first, "Last name": last, "Email address": address });
  await v.presses("Continue");
}

async function setsQuestions(v) {
  for (let i = 0; i < 3; i += 1) {
    await v.page.getByLabel(`Security question ${i + 1}`).selectOption(QUESTIONS[i]);
    await v.field(`Answer to question ${i + 1}`).fill(ANSWERS[i]);
  }
  await v.presses("Continue");
}

test("me_01 me_02 me_03 me_04 me_06 me_07 me_08 me_11 a dependent registers, asks for a new PIN and enters it", journey(async (v) => {
  await startsRegistration(v, { id: "100200304", subscriber: "Kim", born: "2007-05-05", first: "Ethan", last: "Kim", address: "ethan@kim.example" });
  await v.fill({ Username: "ethan", Password: "abc12" });
  await v.presses("Continue");
  await setsQuestions(v);
  await v.presses("Register");
  await v.page.getByRole("alert").getByText(/Username must be 7/).waitFor();
  await v.check("a short username");
  await v.fill({ Username: "ethan.kim", Password: PASSWORD });
  await v.presses("Continue");
  await v.presses("Continue");
  await v.sees("Check what you entered");
  await v.check("the review");
  await v.presses("Register");
  await v.sees("Enter your PIN");
  await v.reads("Letter issued");
  const first = await pinFor("Ethan Kim");
  await v.presses("Issue new PIN");
  await v.reads("A new letter is on its way. The earlier PIN no longer works.");
  const second = await pinFor("Ethan Kim", first);
  await v.fill({ PIN: first });
  await v.presses("Activate account");
  await v.page.getByRole("alert").waitFor();
  await v.check("a wrong PIN");
  await v.fill({ PIN: second });
  await v.presses("Activate account");
  await v.sees("Hello, Ethan");
  await v.reads("Your account is activated.");
  await v.open("/member/app/services/claims");
  await v.reads("You have access to Claims");
}));

test("me_05 a member who forgot the username gets it back with the security answers", journey(async (v) => {
  await v.open("/member/app/forgot-username");
  await v.fill({ "Enrollee ID": "100200304", "Subscriber's last name": "Kim", Month: "5", Day: "5", Year: "2007", "First name": "Ethan" });
  await v.presses("Continue");
  await v.sees("Answer your security questions");
  await v.check("the questions");
  const labels = await v.page.locator("form label").allTextContents();
  for (const label of labels) await v.field(label).fill(ANSWERS[QUESTIONS.indexOf(label)] ?? "wrong");
  await v.presses("Show my username");
  await v.reads("Your username is ethan.kim.");
}));

test("me_05 ux_09 a forgotten password is replaced with the security answers, and unknown names get the same page", journey(async (v) => {
  await v.open("/member/app/forgot-password");
  await v.fill({ Username: "nobody.here" });
  await v.presses("Continue");
  await v.sees("Answer your security questions");
  await v.open("/member/app");
  await v.follows("I forgot my password");
  await v.fill({ Username: "ethan.kim" });
  await v.presses("Continue");
  await v.sees("Answer your security questions");
  const labels = (await v.page.locator("form label").allTextContents()).filter((l) => QUESTIONS.includes(l));
  assert.ok(labels.length > 0);
  for (const label of labels) await v.field(label).fill(ANSWERS[QUESTIONS.indexOf(label)]);
  await v.fill({ "New password": "Calm-Meadow-73!" });
  await v.presses("Set new password");
  await v.sees("Sign in");
  await v.fill({ Username: "ethan.kim", Password: "Calm-Meadow-73!" });
  await v.presses("Sign in");
  await v.sees("Hello, Ethan");
  await email("ethan@kim.example", /password/i);
}));

test("me_09 the profile says that only the help desk changes a username", journey(async (v) => {
  await v.signsIn("member", "grace.kim");
  await v.open("/member/app/profile");
  await v.reads("Only Member Services can change it: (312) 555-0130");
}));
