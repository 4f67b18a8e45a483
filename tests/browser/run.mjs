// Starts the whole system, runs the journeys in a browser, and stops it.
// Usage: node run.mjs [name of a file, such as group] [part of a test's name]. Environment: PORTAL (the binary), CHROMIUM (the
// browser), PAGES (a folder of pages to use in the place of those in the binary).
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { System } from "./system.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const all = ["group", "agent", "member", "provider", "practice", "producer", "help-desk", "factors", "all", "later"];
const given = process.argv.slice(2);
const chosen = given.filter((g) => all.includes(g));
const name = given.filter((g) => !all.includes(g)).map((g) => `--test-name-pattern=${g}`);
const files = (chosen.length ? chosen : all).map((f) => join(here, `${f}.test.mjs`));

const began = Date.now();
const system = new System();
let status = 1;
try {
  await system.start();
  const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...name, ...files], { stdio: "inherit", env: { ...process.env, BASE: system.base, DATA: system.data } });
  status = await new Promise((resolve) => tests.on("exit", (code) => resolve(code ?? 1)));
  await system.stop();
} finally {
  system.remove();
}
console.log(`The journeys took ${Math.round((Date.now() - began) / 1000)} s.`);
process.exit(status);
