// A large organization: its users are added by uploading lists, and then found, paged through and reached with the keyboard.
// USERS is how many; docs/performance.md has the numbers for 10,000.
import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Visitor, journey, ownSystem, people } from "./harness.mjs";

const USERS = Number(process.env.USERS ?? 210);
const PER_PAGE = 100;
const PER_FILE = 500;
const ORGANIZATION = "Lakeside Family Medicine";

ownSystem(["--optional-factors"], (system) => {
  const file = join(system.portals, "provider.toml");
  assert.ok(!readFileSync(file, "utf8").includes("[rate_limits.email]"));
  appendFileSync(file, "\n[rate_limits.email]\nmax_per_sender = 100000\nmax_notices_per_recipient = 10000\n");
});

const primary = () => people().find((p) => p.portal === "provider" && /Primary user of Lakeside/.test(p.who)).username;

/** The last names are the reverse of the order in which the users are added. */
const lastName = (n) => [USERS - n].flatMap((x) => [Math.floor(x / 676), Math.floor(x / 26) % 26, x % 26]).map((d) => String.fromCharCode(97 + d)).join("").replace(/^./, (c) => `Z${c}`);
const rowOf = (n) => `user.${n}@lakeside.example,Una,${lastName(n)}`;

/** What the pages cause: requests to the API and the bytes that all requests transfer. */
async function meter(v) {
  const session = await v.devtools();
  await session.send("Network.enable");
  const count = { api: 0, bytes: 0 };
  session.on("Network.requestWillBeSent", ({ request }) => {
    if (!new URL(request.url).pathname.includes("/app")) count.api += 1;
  });
  session.on("Network.loadingFinished", ({ encodedDataLength }) => {
    count.bytes += encodedDataLength;
  });
  return async (what) => {
    await v.page.waitForLoadState("networkidle");
    const nodes = await v.page.evaluate(() => document.querySelectorAll("*").length);
    const found = { ...count, nodes };
    Object.assign(count, { api: 0, bytes: 0 });
    if (process.env.USERS) console.log(`${what}: ${found.api} requests, ${found.bytes} bytes, ${nodes} elements`);
    return found;
  };
}

const names = (v) => v.page.getByRole("rowheader").allTextContents();
const lastNames = async (v) => (await names(v)).map((name) => name.split(" ").at(-1));
/** Waits for the page of users that follows the one with this first row. */
const turned = (v, before) => v.page.waitForFunction((name) => ![undefined, name].includes(document.querySelector("tbody th")?.textContent), before);

test("ux_08 bl_07 bl_08 lists of users are uploaded, with a result for each row", { timeout: 3_600_000 }, journey(async (v) => {
  await v.worksFor(ORGANIZATION, "provider", primary());
  v.page.setDefaultTimeout(600_000);
  const began = Date.now();
  for (let start = 0; start < USERS; start += PER_FILE) {
    const rows = Array.from({ length: Math.min(PER_FILE, USERS - start) }, (_, i) => rowOf(start + i));
    await v.open("/provider/app/users/upload");
    await v.page.getByLabel("CSV file").setInputFiles({ name: "users.csv", mimeType: "text/csv", buffer: Buffer.from(["email,first_name,last_name", ...rows, ""].join("\n")) });
    await v.presses("Upload");
    await v.reads(`${rows.length} added, 0 already there, 0 not accepted, 0 to try again.`);
  }
  if (process.env.USERS) console.log(`${USERS} users were added in ${Math.round((Date.now() - began) / 1000)} s`);
}));

test("ba_08 bl_07 a list of many users is sorted by name, paged through both ways and searched", { timeout: 300_000 }, journey(async (v) => {
  await v.worksFor(ORGANIZATION, "provider", primary());
  const measured = await meter(v);
  await v.page.getByRole("navigation").getByRole("link", { name: "Users" }).click();
  await v.reads(`Showing ${PER_PAGE} users on this page, administrators first, then by last name.`);
  const first = await measured("the first page");
  assert.equal(first.api, 1);
  assert.ok(first.bytes < 60_000, `${first.bytes} bytes`);
  assert.ok(first.nodes < 1_500, `${first.nodes} elements`);

  const start = await names(v);
  const seen = [];
  for (const forward of [true, true, false, false]) {
    const [before] = await names(v);
    if (forward) await v.follows("Next page");
    else await v.page.goBack();
    await turned(v, before);
    const page = await measured(forward ? "the next page" : "back");
    assert.equal(page.api, 1);
    seen.push(await lastNames(v));
  }
  assert.deepEqual(await names(v), start, "back leads to the page before");
  const [second, third] = seen;
  const staff = [...second, ...third].filter((name) => /^Z[a-z]{3}$/.test(name));
  assert.deepEqual(staff, [...staff].sort(), "the pages continue each other");
  assert.equal(new Set(staff).size, staff.length);
  assert.ok(staff.length > PER_PAGE);

  // The first one who was added has the last name of all, on the last page.
  await v.fill({ Search: `una ${lastName(0)}` });
  await v.presses("Search");
  await v.reads("Showing 1 user.");
  assert.equal((await measured("a search")).api, 1);
  await v.page.getByRole("rowheader", { name: `Una ${lastName(0)}` }).waitFor();
  assert.ok(!/una/i.test(v.page.url()), "a search for a person is not in the address");
  await v.page.reload();
  await v.reads("Showing 1 user.");
  await v.follows("Clear all filters");
  await v.reads(`Showing ${PER_PAGE} users on this page`);
}));

test("pg_01 bl_07 a person on a later page is found by keyboard alone", { timeout: 120_000 }, journey(async (v) => {
  await v.worksFor(ORGANIZATION, "provider", primary());
  await v.enters("Users");
  await v.reads(`Showing ${PER_PAGE} users on this page`);
  await v.types({ Search: lastName(1) });
  await v.page.keyboard.press("Enter");
  await v.reads("Showing 1 user.");
  await v.enters(`Una ${lastName(1)}`);
  await v.sees(`Una ${lastName(1)}`);
}));

test("pg_02 a long list passes axe", { timeout: 120_000 }, async () => {
  const v = await Visitor.create();
  await v.worksFor(ORGANIZATION, "provider", primary());
  await v.open("/provider/app/users");
  await v.reads(`Showing ${PER_PAGE} users on this page`);
  await v.check("a long list");
  await v.leaves();
});
