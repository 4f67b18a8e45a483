// What the journeys share: a browser, people who use the pages, their emails and letters, and the checks of every page.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { System } from "./system.mjs";

/** The address and the data folder of the system. */
export let BASE;
export let DATA;
export const use = (base, data) => {
  BASE = base;
  DATA = data;
};
use(process.env.BASE, process.env.DATA);

/** The address of the sample applications, which are on another site than the pages. */
export const applications = () => `${BASE.replace("//localhost", "//127.0.0.1")}/applications`;

/** Starts a system for the tests of one file, with options of `cargo portal`; `prepare` can start it and change its folders. */
export function ownSystem(options = [], prepare) {
  const system = new System();
  before(async () => {
    await prepare?.(system);
    if (!system.base) await system.start(...options);
    use(system.base, system.data);
  });
  after(async () => {
    await system.stop();
    system.remove();
  });
  return system;
}
export const PASSWORD = "Quiet-River-58!";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** How a page is checked: each mode changes several things at once that don't depend on each other. */
const MODES = {
  "light, desktop": {},
  "dark, 320 px": { colorScheme: "dark", width: 320 },
  "forced colors, text at 200 %": { forcedColors: "active", width: 640, text: "200%" },
};
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** What depends on colors and sizes alone. */
const STYLE = { runOnly: { type: "rule", values: ["color-contrast", "link-in-text-block", "target-size", "scrollable-region-focusable"] } };

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
after(() => browser.close());

export const people = () => JSON.parse(readFileSync(join(DATA, "people.json"), "utf8")).people;
export const person = (portal, name) => people().find((p) => p.portal === portal && p.name === name);

/** Waits until a value is there; the value comes from outside of the browser, such as an email. */
export async function until(what, find, within = 20_000) {
  const ends = Date.now() + within;
  for (;;) {
    const found = await find();
    if (found) return found;
    if (Date.now() > ends) assert.fail(`${what} did not arrive`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const emails = (to) =>
  readFileSync(join(DATA, "inbox.jsonl"), "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)).filter((m) => !to || m.to.some((t) => t.includes(to)));

/** The latest email to an address that matches; `after` is how many the address had before. Emails arrive a little after the response. */
export const email = (to, subject, { after = 0, text = /./ } = {}) =>
  until(`the email ${subject} to ${to}`, () => emails(to).slice(after).filter((m) => subject.test(m.subject) && text.test(m.text)).at(-1));

export const linkIn = (mail, page) => {
  const found = mail.text.match(/http:\S+/g)?.find((l) => l.includes(page));
  assert.ok(found, `no link to ${page} in ${mail.text}`);
  return found;
};

const letterTexts = () => readdirSync(join(DATA, "letters")).filter((f) => f.endsWith(".json")).map((f) => JSON.parse(readFileSync(join(DATA, "letters", f), "utf8")).text);

/** The PIN of a letter to a person; `not` is a PIN of an earlier letter, `where` a line of the address. */
export const pinFor = (name, not, where = "") =>
  until(`the letter to ${name}`, () => letterTexts().filter((t) => t.includes(`Dear ${name}`) && t.includes(where)).map((t) => /Your PIN\s+(\d+)/.exec(t)?.[1]).find((pin) => pin && pin !== not));

/** The link to a page in the latest email to an address that has one. */
export const linkTo = async (to, page, options) => linkIn(await email(to, /./, { ...options, text: new RegExp(`http:\\S+${page}`) }), page);

/** What a query string must not have (PG-05). */
const PERSONAL = /[?&](query|username|name|email|searched)=|token=|password|@|%40/;

/** A person with a browser of their own. */
export class Visitor {
  static async create(options = {}) {
    const visitor = new Visitor();
    visitor.context = await browser.newContext({ viewport: { width: 1200, height: 850 }, reducedMotion: "reduce", ...options });
    visitor.page = await visitor.context.newPage();
    visitor.page.setDefaultTimeout(15_000);
    visitor.faults = [];
    visitor.rounds = { most: 0, ended: 0 };
    const isCall = (request) => request.url().startsWith(BASE) && !new URL(request.url()).pathname.split("/").includes("app");
    const calls = new WeakMap();
    visitor.context.on("request", (request) => {
      if (!isCall(request)) return;
      const { rounds } = visitor;
      const round = rounds.ended + 1;
      calls.set(request, { rounds, round });
      rounds.most = Math.max(rounds.most, round);
    });
    const ended = (request) => {
      const call = calls.get(request);
      if (call) call.rounds.ended = Math.max(call.rounds.ended, call.round);
    };
    visitor.context.on("requestfinished", ended);
    visitor.context.on("requestfailed", ended);
    const own = new URL(BASE).origin;
    visitor.context.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(own) && !url.startsWith(new URL(applications()).origin) && !/^(blob|data):/.test(url)) visitor.faults.push(`a request to another origin: ${url}`);
      if (PERSONAL.test(new URL(url).search)) visitor.faults.push(`personal data in an address: ${url}`);
    });
    visitor.page.on("framenavigated", (frame) => {
      if (PERSONAL.test(new URL(frame.url()).search)) visitor.faults.push(`personal data in an address: ${frame.url()}`);
    });
    visitor.page.on("console", (message) => {
      // A response that reports a problem is an expected answer, which Chromium also logs.
      if (message.type() === "error" && !/^Failed to load resource: .*(4\d\d|ERR_INTERNET_DISCONNECTED|ERR_FAILED)/.test(message.text())) visitor.faults.push(`console: ${message.text()}`);
    });
    visitor.page.on("pageerror", (error) => visitor.faults.push(`error: ${error.stack}`));
    await visitor.page.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP violation: ${event.violatedDirective} ${event.blockedURI}`));
    });
    return visitor;
  }

  async open(path) {
    this.rounds = { most: 0, ended: 0 };
    await this.page.goto(path.startsWith("http") ? path : `${BASE}${path}`);
    await this.page.locator("header.top").waitFor();
    return this;
  }

  async sees(heading) {
    await this.page.getByRole("heading", { level: 1, name: heading }).waitFor();
    return this;
  }

  async reads(text) {
    await this.page.getByText(text).first().waitFor();
    return this;
  }

  field(label) {
    return this.page.getByLabel(label, { exact: true });
  }

  async fill(values) {
    for (const [label, value] of Object.entries(values)) await this.field(label).fill(value);
    return this;
  }

  async presses(name) {
    await this.page.getByRole("button", { name, exact: true }).click();
    return this;
  }

  async follows(name) {
    await this.page.getByRole("main").getByRole("link", { name, exact: typeof name === "string" }).first().click();
    return this;
  }

  async signsIn(portal, username, password = PASSWORD) {
    await this.open(`/${portal}/app/sign-in`);
    await this.fill({ Username: username, Password: password });
    await this.presses("Sign in");
    await this.page.waitForURL((url) => !url.pathname.endsWith("/sign-in"));
    await this.page.locator("main").waitFor();
    return this;
  }

  /** Searches the users of the organization. */
  async searchesUsers(portal, text) {
    await this.open(`/${portal}/app/users`);
    await this.fill({ Search: text });
    await this.presses("Search");
    await this.page.getByText("Clear all filters").waitFor();
    return this;
  }

  async signsOut(portal) {
    await this.open(`/${portal}/app/sign-out`);
    await this.presses("Sign out");
    await this.sees("You are signed out");
    return this;
  }

  /** Signs in and, if asked, chooses the organization to work for. */
  async worksFor(organization, portal, username) {
    await this.signsIn(portal, username);
    const heading = this.page.getByRole("heading", { level: 1, name: /^(Choose an organization|Hello)/ });
    await heading.waitFor();
    if ((await heading.textContent()) === "Choose an organization") {
      await this.page.getByRole("radio", { name: organization }).check();
      await this.presses("Continue");
      await this.sees(/^Hello/);
    }
    return this;
  }

  /** One session for everything: when one ends, Chromium removes the page's authenticators. */
  async devtools() {
    this.session ??= await this.context.newCDPSession(this.page);
    return this.session;
  }

  /** Presses Tab until something with this label or text has the focus. */
  async tabsTo(name) {
    const { keyboard } = this.page;
    for (let i = 0; i < 80; i += 1) {
      await keyboard.press("Tab");
      const focused = await this.page.evaluate(() => {
        const e = document.activeElement;
        return (e.labels?.[0]?.textContent ?? e.textContent).replace(" (optional)", "");
      });
      if (focused === name) return this;
    }
    return assert.fail(`${name} cannot be reached with the keyboard`);
  }

  /** Types into fields, by keyboard alone. */
  async types(values) {
    for (const [label, value] of Object.entries(values)) {
      await this.tabsTo(label);
      await this.page.keyboard.type(value);
    }
    return this;
  }

  /** Reaches a link or a button with Tab and presses Enter. */
  async enters(name) {
    await this.tabsTo(name);
    await this.page.keyboard.press("Enter");
    return this;
  }

  /** Reaches a radio button or a checkbox and presses Space. */
  async selects(name) {
    await this.tabsTo(name);
    await this.page.keyboard.press("Space");
    return this;
  }

  /** Signs in by keyboard alone, beginning at the start page. */
  async signsInByKeyboard(portal, username) {
    await this.open(`/${portal}/app`);
    await this.enters("Sign in");
    await this.sees("Sign in");
    await this.types({ Username: username, Password: PASSWORD });
    await this.page.keyboard.press("Enter");
    return this;
  }

  /** Checks the page in every mode with axe and for what must never happen. */
  async check(state = "") {
    const size = this.page.viewportSize();
    for (const [mode, { width, text = "", ...media }] of Object.entries(MODES)) {
      await this.page.emulateMedia({ colorScheme: "light", forcedColors: "none", ...media });
      await this.page.setViewportSize({ width: width ?? size.width, height: size.height });
      await this.page.evaluate((size) => {
        document.documentElement.style.fontSize = size;
      }, text);
      await this.passes(`${await this.page.title()} ${state} (${mode})`, media.forcedColors ? STYLE : { runOnly: TAGS });
    }
    await this.page.emulateMedia({ colorScheme: null, forcedColors: null });
    await this.page.setViewportSize(size);
    await this.page.evaluate(() => {
      document.documentElement.style.fontSize = "";
    });
    return this;
  }

  async passes(what, options) {
    const session = await this.devtools();
    const run = async (expression) => {
      const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression, awaitPromise: true });
      assert.equal(exceptionDetails, undefined);
      return result.value;
    };
    if (!(await run("typeof axe === 'object'"))) await run(`${AXE};0`);
    const violations = await run(`axe.run(document, ${JSON.stringify({ ...options, resultTypes: ["violations"] })}).then((r) => JSON.stringify(r.violations.map((v) => [v.id, v.nodes.map((n) => n.html.slice(0, 200) + " " + n.failureSummary)])))`);
    assert.deepEqual(JSON.parse(violations), [], `axe on ${what}`);
    assert.deepEqual(this.faults, [], `on ${what}`);
    const wide = await this.page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth + 1);
    assert.equal(wide, false, `${what} scrolls sideways`);
  }

  /** Shows a page as a link would, without loading the document again. `rounds.most` is how many calls of the API had to wait for each other. */
  async shows(path) {
    this.rounds = { most: 0, ended: 0 };
    await this.page.evaluate((to) => {
      history.pushState({}, "", to);
      dispatchEvent(new PopStateEvent("popstate"));
    }, path);
    await this.page.locator("#app:not([aria-busy])").waitFor({ state: "attached" });
    return this;
  }

  /** Gives the browser an authenticator that verifies its user without asking. */
  async hasAuthenticator() {
    const session = await this.devtools();
    await session.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    const { authenticatorId } = await session.send("WebAuthn.addVirtualAuthenticator", { options });
    return {
      credentials: async () => (await session.send("WebAuthn.getCredentials", { authenticatorId })).credentials,
      verifiesUser: (isUserVerified) => session.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified }),
    };
  }

  async leaves() {
    assert.deepEqual(this.faults, []);
    await this.context.close();
  }
}

/** An authenticator app (RFC 6238: SHA-1, six digits, 30 seconds). It never shows the same code twice. */
export class App {
  last = 0;

  /** The secret is in base32. */
  constructor(secret) {
    const bits = [...secret.replace(/[\s=]/g, "")].map((c) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(c).toString(2).padStart(5, "0")).join("");
    this.key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  }

  code(step) {
    const counter = Buffer.alloc(8);
    counter.writeBigUInt64BE(BigInt(step));
    const mac = createHmac("sha1", this.key).update(counter).digest();
    const at = mac.at(-1) & 15;
    return String((mac.readUInt32BE(at) & 0x7fffffff) % 1_000_000).padStart(6, "0");
  }

  /** The code of the first time step that was not used and is accepted: the last one, this one or the next one. */
  async next() {
    const now = () => Math.floor(Date.now() / 30_000);
    const step = Math.max(this.last + 1, now() - 1);
    await until("the next code", () => step <= now() + 1, 70_000);
    this.last = step;
    return this.code(step);
  }
}

/** Runs a journey with a new visitor, and checks the last page. */
export const journey = (run, options) => async () => {
  const visitor = await Visitor.create(options);
  try {
    await run(visitor);
    await visitor.check();
  } catch (error) {
    error.stack += `\nThe page was ${visitor.page.url()}:\n${await visitor.page.locator("body").innerText({ timeout: 1000 }).catch(() => "not readable")}`;
    throw error;
  } finally {
    await visitor.context.close();
  }
};

/** Fills in the pages of the registration of an employer, an agent and others who choose a username. */
export async function registers(v, { first, last, email: address, username, verification }) {
  await v.fill(verification);
  await v.presses("Continue");
  await v.fill({ "First name": first, "Last name": last, "Email address": address });
  await v.presses("Continue");
  if (username) await v.fill({ Username: username });
  await v.fill({ Password: PASSWORD });
  await v.presses("Continue");
}

/** Accepts an invitation from the link in the email; `after` is how many emails the address had before. */
export async function acceptsInvitation(v, address, username, after) {
  const mail = await email(address, /invited|invitation/i, { after });
  await v.open(linkIn(mail, "/invitations/accept"));
  assert.ok(!v.page.url().includes("token"), "the token is removed from the address bar");
  await v.presses("Continue");
  if (username) await v.fill({ Username: username });
  await v.fill({ Password: PASSWORD });
  await v.presses("Continue");
  await v.presses("Register");
}

/** Adds an authenticator app and returns it. */
export async function addsApp(v, name = "Phone") {
  await v.page.getByRole("link", { name: "Add an authenticator app" }).click();
  await v.sees("Add an authenticator app");
  await v.page.getByText("Enter a key instead").click();
  const app = new App(await v.page.locator(".key").textContent());
  await v.fill({ Name: name, Code: await app.next() });
  await v.presses("Add app");
  await v.reads(`The authenticator app ${name} was added.`);
  return app;
}

/** Adds an authenticator app to the account of a person who is signed in. */
export async function protects(v, portal) {
  await v.open(`/${portal}/app/profile/second-factors`);
  const app = await addsApp(v);
  await v.page.getByRole("link", { name: "Not now" }).click();
  await v.sees("Second factors");
  return app;
}
