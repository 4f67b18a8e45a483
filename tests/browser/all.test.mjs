import assert from "node:assert/strict";
import { test } from "node:test";
import { BASE, PASSWORD, Visitor, journey } from "./harness.mjs";

test("pg_01 a portal whose policy no page knows is fully usable", journey(async (v) => {
  await v.open("/mixed/app");
  await v.sees("Mixed Portal");
  await v.follows("Register now");
  await v.fill({ "Agent ID": "AG10003", "Last four digits of your Social Security number": "2954" });
  await v.presses("Continue");
  await v.fill({ "First name": "Priya", "Last name": "Nair", "Email address": "priya@nair.example" });
  await v.presses("Continue");
  await v.fill({ Username: "priya.nair", Password: PASSWORD });
  await v.presses("Continue");
  await v.fill({ "Hint question": "What was my first car?", "Hint answer": "A green Beetle" });
  await v.presses("Continue");
  for (let i = 1; i <= 2; i += 1) {
    await v.page.getByLabel(`Security question ${i}`).selectOption({ index: i });
    await v.field(`Answer to question ${i}`).fill(`Answer number ${i}`);
  }
  await v.presses("Continue");
  await v.page.getByLabel("I have read and accept the House Rules").check();
  await v.presses("Register");
  await v.sees("Hello, Priya");
  await v.open("/mixed/app/users/add");
  await v.fill({ "First name": "Ada", "Last name": "Nair", "Email address": "ada@nair.example", Username: "ada.nair", "Initial password": "First-Visit-21!" });
  await v.page.getByRole("radio", { name: "Helper" }).check();
  await v.presses("Add user");
  await v.reads("Ada Nair was added");
}));

test("pg_01 a principal signs in and invites someone by keyboard alone", journey(async (v) => {
  const { page } = v;
  const press = (key) => page.keyboard.press(key);
  const to = async (name) => {
    for (let i = 0; i < 60; i += 1) {
      await press("Tab");
      const focused = await page.evaluate(() => {
        const e = document.activeElement;
        return e.labels?.[0]?.textContent.replace(" (optional)", "") ?? e.textContent;
      });
      if (focused === name) return;
    }
    assert.fail(`${name} cannot be reached with the keyboard`);
  };
  await v.open("/group/app");
  await to("Sign in");
  await press("Enter");
  await v.sees("Sign in");
  await to("Username");
  await page.keyboard.type("ruth.okafor");
  await to("Password");
  await page.keyboard.type(PASSWORD);
  await press("Enter");
  await v.sees("Hello, Ruth");
  await to("Invitations");
  await press("Enter");
  await v.sees("Invitations");
  await to("Invite a user");
  await press("Enter");
  await v.sees("Invite a user");
  await to("First name");
  await page.keyboard.type("Kay");
  await to("Last name");
  await page.keyboard.type("Board");
  await to("Email address");
  await page.keyboard.type("kay@blueheron.example");
  await press("Tab");
  await press("Space");
  await press("Enter");
  await v.reads("An invitation was sent to kay@blueheron.example.");
}));

test("pg_01 an expired session in the middle of a form loses nothing", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/feedback");
  await v.fill({ "Your feedback": "This text must not be lost." });
  const cookies = await v.context.cookies();
  await v.context.clearCookies();
  assert.ok(cookies.length > 0);
  await v.presses("Send feedback");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Sign in again" }).waitFor();
  await v.check("sign in again");
  await dialog.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await dialog.getByRole("button", { name: "Sign in and continue" }).click();
  await v.reads("Your feedback was sent.");
}));

test("ap_01 a lost connection is reported, and trying again does not send twice", journey(async (v) => {
  await v.signsIn("group", "ruth.okafor");
  await v.open("/group/app/invitations/new");
  await v.fill({ "First name": "Lost", "Last name": "Line", "Email address": "lost@blueheron.example" });
  await v.page.getByRole("radio", { name: "Staff" }).check();
  // The request arrives, and its response is lost.
  await v.page.route(/\/group\/invitations$/, async (route) => {
    await route.fetch();
    await route.abort();
  }, { times: 1 });
  await v.presses("Send invitation");
  await v.page.getByRole("alert").getByText("The connection was lost").waitFor();
  await v.check("no connection");
  await v.presses("Send invitation");
  await v.reads("An invitation was sent to lost@blueheron.example.");
  assert.equal(await v.page.getByRole("row", { name: /lost@/ }).count(), 1);
}));

test("pg_01 a double click sends one request", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.open("/group/app/feedback");
  await v.fill({ "Your feedback": "Once is enough." });
  let sent = 0;
  v.page.on("request", (request) => {
    if (request.method() === "POST" && request.url().endsWith("/feedback")) sent += 1;
  });
  await v.page.getByRole("button", { name: "Send feedback" }).dblclick();
  await v.reads("Your feedback was sent.");
  assert.equal(sent, 1);
}));

test("pg_01 back, reload and deep links work", journey(async (v) => {
  await v.open("/group/app/users");
  await v.sees("Sign in");
  await v.fill({ Username: "ruth.okafor", Password: PASSWORD });
  await v.presses("Sign in");
  await v.sees("Users");
  await v.follows("Sam Lind");
  await v.sees("Sam Lind");
  await v.page.reload();
  await v.sees("Sam Lind");
  await v.page.goBack();
  await v.sees("Users");
}));

test("pg_01 blocked scripts leave a message", async () => {
  const v = await Visitor.create();
  await v.page.route(/\.js$/, (route) => route.abort());
  await v.page.goto(`${BASE}/group/app/sign-in`);
  await v.page.getByText("This site needs JavaScript").waitFor();
  await v.context.close();
});

test("pg_05 the first page transfers at most 60 kB and asks the API twice at most", async () => {
  const v = await Visitor.create();
  let bytes = 0;
  let requests = 0;
  v.page.on("response", async (response) => {
    const path = new URL(response.url()).pathname;
    if (!path.includes("/app")) requests += 1;
  });
  const session = await v.context.newCDPSession(v.page);
  await session.send("Network.enable");
  session.on("Network.loadingFinished", (event) => {
    bytes += event.encodedDataLength;
  });
  await v.open("/member/app");
  await v.page.waitForLoadState("networkidle");
  assert.ok(bytes > 0 && bytes <= 60_000, `${bytes} bytes`);
  assert.ok(requests <= 2, `${requests} requests`);
  await v.leaves();
});

test("ag_14 the idle timeout warns and extends, and then signs out", journey(async (v) => {
  await v.signsIn("group", "sam.lind");
  await v.page.clock.install();
  await v.page.reload();
  await v.sees("Hello, Sam");
  await v.page.clock.fastForward("28:30");
  const dialog = v.page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "Are you still there?" }).waitFor();
  await v.check("the warning");
  await dialog.getByRole("button", { name: "Stay signed in" }).click();
  await dialog.waitFor({ state: "detached" });
  await v.page.clock.fastForward("28:30");
  await dialog.waitFor();
  await v.page.clock.fastForward("02:30");
  await v.sees("You are signed out");
  await v.reads("You were signed out because you did nothing for 30 minutes.");
}));
