// Starts the whole system on a free port with a data folder of its own, runs the journeys in a browser, and stops it.
// Usage: node run.mjs [name of a file, such as group] [part of a test's name]. Environment: PORTAL (the binary), CHROMIUM (the browser), PAGES (a folder
// of pages to use in the place of those in the binary).
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const portal = process.env.PORTAL ?? join(root, "target/debug/portal");
if (!existsSync(portal)) throw new Error(`${portal} does not exist: run cargo build --workspace --bin portal`);
const folder = mkdtempSync(join(tmpdir(), "vestibule-browser-"));
const portals = join(folder, "portals");
cpSync(join(root, "infra/portals"), portals, { recursive: true });
for (const own of ["mixed.toml", "guarded.toml"]) cpSync(join(here, own), join(portals, own));
const data = join(folder, "data");

const server = spawn(portal, ["--port", "0", "--data", data, "--portals", portals, ...(process.env.PAGES ? ["--pages", process.env.PAGES] : [])], { stdio: ["ignore", "pipe", "inherit"] });
const base = await new Promise((resolve, reject) => {
  let printed = "";
  server.stdout.on("data", (chunk) => {
    printed += chunk;
    const found = /Vestibule runs at (http:\/\/[^/\s]+)\//.exec(printed);
    if (found) resolve(found[1]);
  });
  server.on("exit", () => reject(new Error(`the system stopped: ${printed}`)));
});
let status = 1;
const began = Date.now();
try {
  const all = ["group", "agent", "member", "provider", "practice", "producer", "help-desk", "factors", "all"];
  const given = process.argv.slice(2);
  const chosen = given.filter((g) => all.includes(g));
  const name = given.filter((g) => !all.includes(g)).map((g) => `--test-name-pattern=${g}`);
  const files = (chosen.length ? chosen : all).map((f) => join(here, `${f}.test.mjs`));
  const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...name, ...files], { stdio: "inherit", env: { ...process.env, BASE: base, DATA: data, PORTAL: portal } });
  status = await new Promise((resolve) => tests.on("exit", (code) => resolve(code ?? 1)));
} finally {
  server.removeAllListeners("exit");
  server.kill("SIGTERM");
  await new Promise((resolve) => server.on("exit", resolve));
  rmSync(folder, { recursive: true, force: true });
}
console.log(`The journeys took ${Math.round((Date.now() - began) / 1000)} s.`);
process.exit(status);
