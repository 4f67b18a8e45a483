// Takes the screenshots of docs/images from a running `cargo portal --optional-factors`. Usage: BASE=http://localhost:8600 node screenshots.mjs PEOPLE_JSON
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BASE = process.env.BASE ?? "http://localhost:8600";
const people = JSON.parse(readFileSync(process.argv[2], "utf8")).people;
const images = join(dirname(fileURLToPath(import.meta.url)), "../../docs/images");
mkdirSync(images, { recursive: true });
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const DESKTOP = { viewport: { width: 960, height: 800 } };
const PHONE = { viewport: { width: 360, height: 640 }, isMobile: true };

/** Takes pictures as one person; `portal` without a username is a visitor. */
async function as(options, portal, username, pages, password = "Quiet-River-58!") {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const ready = () => page.locator("footer").waitFor();
  if (username) {
    await page.goto(`${BASE}/${portal}/app/sign-in`);
    await page.getByLabel("Username").fill(username);
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
    await page.waitForURL((url) => !url.pathname.endsWith("sign-in"));
  }
  for (const [name, path, then] of pages) {
    if (path !== undefined) await page.goto(`${BASE}/${portal}/app${path}`);
    await ready();
    await then?.(page);
    await ready();
    await page.waitForLoadState("networkidle");
    await page.screenshot({ path: join(images, `${name}.png`) });
  }
  await context.close();
}

const username = (portal, who) => people.find((p) => p.portal === portal && who.test(`${p.name} ${p.who}`)).username;

await as(DESKTOP, "group", "ruth.okafor", [
  ["home", ""],
  ["users", "/users"],
  ["user", undefined, async (page) => {
    await page.getByRole("main").getByRole("link", { name: "Nora Lind" }).click();
    await page.getByRole("heading", { level: 1, name: "Nora Lind" }).waitFor();
  }],
  ["audit-trail", "/audit-trail"],
]);
await as(DESKTOP, "provider", undefined, [["register", "/register"]]);
await as(DESKTOP, "provider", username("provider", /Primary user of Lakeside/), [["add-user", "/users/add"]]);
await as(DESKTOP, "help-desk", username("help-desk", /agent/i), [["help-desk", "/accounts", async (page) => {
  await page.getByLabel("Portal", { exact: true }).selectOption("member");
  await page.getByLabel("Search for").fill("maria.alvarez");
  await page.getByRole("button", { name: "Find account" }).click();
  await page.getByRole("heading", { level: 1, name: "Maria Alvarez" }).waitFor();
}]]);
await as(PHONE, "member", undefined, [
  ["sign-in-phone", "/sign-in"],
  ["register-phone", "/register/member", (page) => page.getByRole("button", { name: "Continue" }).click()],
]);
await as(PHONE, "member", "maria.alvarez", [["pin-phone", "/pin"]]);
await as(DESKTOP, "agent", "dana.whitfield", [["second-factors", "/profile/second-factors"]]);
await as({ ...PHONE, colorScheme: "dark" }, "member", "grace.kim", [["profile-phone", "/profile"]]);
await browser.close();
