// Starts the whole system, goes through the journeys in a browser, and stops it.
// Usage: node run.mjs [name of a file, such as group] [part of a test's name]. Environment: PORTAL (the binary), CHROMIUM (the
// browser), PAGES (a folder of pages to use instead of those in the binary).
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { System } from "./system.mjs";

const here = dirname(fileURLToPath(import.meta.url));
/** These files share a system, so they run one after the other. */
const shared = ["group", "agent", "member", "provider", "practice", "producer", "help-desk", "keyboard", "all"];
/** Each of these starts a system of its own. They run beside the others. */
const own = ["factors", "every-page", "later", "many-users"];
const given = process.argv.slice(2);
const all = [...shared, ...own];
const chosen = given.filter((g) => all.includes(g));
const names = given.filter((g) => !all.includes(g)).map((g) => `--test-name-pattern=${g}`);
const began = Date.now();

/** Runs files one after the other; returns whether all of their tests passed. */
function run(files, environment, output) {
  const wanted = files.filter((f) => !chosen.length || chosen.includes(f)).map((f) => join(here, `${f}.test.mjs`));
  if (!wanted.length) return true;
  const tests = spawn(process.execPath, ["--test", "--test-concurrency=1", "--test-reporter=spec", ...names, ...wanted], { stdio: ["ignore", output, "inherit"], env: { ...process.env, ...environment } });
  const printed = [];
  tests.stdout?.on("data", (chunk) => printed.push(chunk));
  return new Promise((resolve) =>
    tests.on("close", (code) => {
      process.stdout.write(Buffer.concat(printed));
      resolve(code === 0);
    }),
  );
}

async function runShared() {
  if (chosen.length && !chosen.some((c) => shared.includes(c))) return true;
  const system = new System();
  try {
    await system.start("--optional-factors");
    const passed = await run(shared, { BASE: system.base, DATA: system.data }, "inherit");
    await system.stop();
    return passed;
  } finally {
    system.remove();
  }
}

const passed = await Promise.all([runShared(), run(own, {}, "pipe")]);
console.log(`The journeys took ${Math.round((Date.now() - began) / 1000)} s.`);
process.exit(passed.every(Boolean) ? 0 : 1);
