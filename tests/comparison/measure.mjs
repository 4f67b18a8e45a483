// Signs in to both servers in turns and prints how many sign-ins one second of CPU time buys.
import { join } from "node:path";
import { hash } from "@node-rs/argon2";
import { System } from "../browser/system.mjs";
import { LambdaFunction, post as event } from "./function.mjs";
import { AWS_PORT, PORT, compare, startPeer } from "./rounds.mjs";

const [rounds, count] = [process.argv[2] ?? 5, process.argv[3] ?? 300].map(Number);
const PASSWORD = "Quiet-River-58!";
const system = new System();
const credentials = { username: "ruth.okafor", password: PASSWORD };
let [other, lambda] = [];

// Attempts are limited by source, so each comes from another.
let sources = 0;
const nextSource = () => `10.${(sources >> 16) & 255}.${(sources >> 8) & 255}.${sources++ & 255}`;

async function post(url, body, headers = {}) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} responded ${response.status}: ${text}`);
}

/** The function alone, as on AWS, where DynamoDB is a service. */
async function signInFunction() {
  await system.start("--log", "error", "--aws-port", `${AWS_PORT}`);
  lambda = await LambdaFunction.start("sign-in", AWS_PORT);
  const signIn = async () => {
    const response = await lambda.call(event("/{portal}/sessions", "group", nextSource(), credentials));
    if (response.statusCode !== 201) throw new Error(`the function responded ${JSON.stringify(response)}`);
  };
  return { name: "Vestibule, its function", pid: lambda.process.pid, act: signIn };
}

/** `cargo portal`, which also runs everything that AWS is to the function. */
function portal() {
  const signIn = () => post(`${system.base}/group/sessions`, credentials, { "x-forwarded-for": nextSource() });
  return { name: "Vestibule, `cargo portal` with its database and all else", pid: system.server.pid, act: signIn };
}

async function betterAuth() {
  other = await startPeer("better-auth.mjs", [join(system.folder, "better-auth.sqlite")]);
  const [base, email] = [`http://127.0.0.1:${PORT}/api/auth`, "ruth@example.com"];
  const origin = { origin: `http://127.0.0.1:${PORT}` };
  await post(`${base}/sign-up/email`, { name: "Ruth Okafor", email, password: PASSWORD }, origin);
  return { name: "better-auth, with SQLite in the process", pid: other.pid, act: () => post(`${base}/sign-in/email`, { email, password: PASSWORD }, origin) };
}

const bare = {
  name: "a bare hash by @node-rs/argon2",
  pid: process.pid,
  act: () => hash(PASSWORD, { memoryCost: 19456, timeCost: 2, parallelism: 1 }),
};

try {
  const servers = [await signInFunction(), portal(), await betterAuth(), bare];
  await compare(servers, { rounds, count, what: "sign-ins" });
} finally {
  other?.kill();
  lambda?.stop();
  await system.stop();
  system.remove();
}
