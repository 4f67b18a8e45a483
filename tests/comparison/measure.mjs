// Signs in to both servers in turns and prints how many sign-ins one second of CPU time buys.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hash } from "@node-rs/argon2";

const [rounds, count] = [process.argv[2] ?? 5, process.argv[3] ?? 300].map(Number);
const folder = mkdtempSync(join(tmpdir(), "comparison-"));
const PASSWORD = "Quiet-River-58!";
const running = [];

/** Starts a server and waits for a line of its output. */
function start(command, args, line) {
  const server = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  running.push(server);
  return new Promise((resolve, reject) => {
    let output = "";
    server.stdout.on("data", (data) => {
      output += data;
      const found = line.exec(output);
      if (found) resolve({ pid: server.pid, found });
    });
    server.on("exit", (code) => reject(new Error(`${command} ended with ${code}: ${output}`)));
  });
}

/** CPU time of a process in milliseconds, by the scheduler's count of its threads. */
function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  // 100 ticks a second: Linux reports them so to every program.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

async function post(url, body, headers = {}) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} responded ${response.status}: ${text}`);
}

async function vestibule() {
  const portal = new URL("../../target/release/portal", import.meta.url).pathname;
  const { pid, found } = await start(portal, ["serve", "--log", "error", "--port", "0", "--data", join(folder, "portal")], /(http:\/\/[\w.]+:\d+)/);
  // Attempts are limited by source, so each comes from another.
  let source = 0;
  const next = () => `10.${(source >> 16) & 255}.${(source >> 8) & 255}.${source++ & 255}`;
  const signIn = () => post(`${found[1]}/group/sessions`, { username: "ruth.okafor", password: PASSWORD }, { "x-forwarded-for": next() });
  return { name: "Vestibule, with its database in the process", pid, signIn };
}

async function betterAuth() {
  const port = 20_000 + (process.pid % 20_000);
  const { pid } = await start(process.execPath, [new URL("better-auth.mjs", import.meta.url).pathname, port, join(folder, "better-auth.sqlite")], /ready/);
  const [base, email] = [`http://127.0.0.1:${port}/api/auth`, "ruth@example.com"];
  const origin = { origin: `http://127.0.0.1:${port}` };
  await post(`${base}/sign-up/email`, { name: "Ruth Okafor", email, password: PASSWORD }, origin);
  return { name: "better-auth, with SQLite in the process", pid, signIn: () => post(`${base}/sign-in/email`, { email, password: PASSWORD }, origin) };
}

const bare = {
  name: "a bare hash by @node-rs/argon2",
  pid: process.pid,
  signIn: () => hash(PASSWORD, { memoryCost: 19456, timeCost: 2, parallelism: 1 }),
};

try {
  const measured = [await vestibule(), await betterAuth(), bare].map((server) => ({ ...server, rates: [] }));
  for (const { signIn } of measured) for (let i = 0; i < 30; i++) await signIn();
  for (let round = 1; round <= rounds; round++) {
    for (const server of measured) {
      const before = cpu(server.pid);
      for (let i = 0; i < count; i++) await server.signIn();
      server.rates.push((count / (cpu(server.pid) - before)) * 1000);
    }
    process.stderr.write(`round ${round} of ${rounds}\n`);
  }
  console.log("| | sign-ins per CPU second: median | lowest | highest |\n|---|---|---|---|");
  for (const { name, rates } of measured) {
    rates.sort((a, b) => a - b);
    console.log(`| ${name} | ${[rates[rates.length >> 1], rates[0], rates.at(-1)].map((r) => r.toFixed(1)).join(" | ")} |`);
  }
} finally {
  running.forEach((server) => server.kill());
  rmSync(folder, { recursive: true, force: true });
}
