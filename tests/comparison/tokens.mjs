// Compares how many tokens one second of CPU time buys: an authorization with the token exchange that follows, and the exchange
// alone. Usage: node tokens.mjs [rounds] [count]
import { createHash, randomBytes } from "node:crypto";
import { System } from "../browser/system.mjs";
import { LambdaFunction, post as event } from "./function.mjs";
import { AWS_PORT, PORT, compare, startPeer } from "./rounds.mjs";

const [rounds, count] = [process.argv[2] ?? 5, process.argv[3] ?? 300].map(Number);
const [CLIENT, CALLBACK] = ["enrollment-desk", "https://enrollment.harborlight.example/callback"];
const system = new System();
let [other, lambda] = [];

/** The parameters of a request, and the verifier that belongs to them. */
function request() {
  const verifier = randomBytes(32).toString("base64url");
  const code_challenge = createHash("sha256").update(verifier).digest("base64url");
  const query = new URLSearchParams({ response_type: "code", client_id: CLIENT, redirect_uri: CALLBACK, scope: "openid profile email", state: randomBytes(16).toString("base64url"), nonce: randomBytes(16).toString("base64url"), code_challenge, code_challenge_method: "S256" });
  return { verifier, query };
}

async function read(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url} responded ${response.status}: ${text}`);
  return JSON.parse(text);
}

/** Returns a function that exchanges a code as a client with a secret does; `send` sends the form. */
const exchanger = (secret, send) => async ({ code, verifier }) => {
  const authorization = `Basic ${Buffer.from(`${CLIENT}:${secret}`).toString("base64")}`;
  const body = new URLSearchParams({ grant_type: "authorization_code", code, redirect_uri: CALLBACK, code_verifier: verifier });
  const tokens = await send({ authorization, "content-type": "application/x-www-form-urlencoded" }, body.toString());
  const [header, payload] = tokens.id_token.split(".").map((part) => Buffer.from(part, "base64url").toString());
  if (!header.includes('"RS256"') || !payload.includes("Blue Heron")) throw new Error(`an ID token of another kind: ${header} ${payload}`);
};

const byFetch = (endpoint) => async (headers, body) => read(await fetch(endpoint, { method: "POST", headers, body }));

/** The function alone, as on AWS, where DynamoDB and KMS are services; and `cargo portal`, which is all of them. */
async function vestibule() {
  await system.start("--log", "error", "--optional-factors", "--aws-port", `${AWS_PORT}`);
  const issuer = `${system.base}/group`;
  const json = { "content-type": "application/json" };
  const { token } = await byFetch(`${issuer}/sessions`)(json, JSON.stringify({ username: "ruth.okafor", password: "Quiet-River-58!", token_delivery: "body" }));
  const secret = system.run("client-secret", "--portal", "group", "--application", CLIENT).trim();
  const client = (send) => ({
    authorize: async () => {
      const { verifier, query } = request();
      const { redirect_to } = await send("authorizations")({ ...json, authorization: `Bearer ${token}` }, JSON.stringify({ query: query.toString() }));
      return { verifier, code: new URL(redirect_to).searchParams.get("code") };
    },
    exchange: exchanger(secret, send("token")),
  });
  lambda = await LambdaFunction.start("openid-connect", AWS_PORT);
  const invoke = (path) => async (headers, body) => {
    const response = await lambda.call(event(`/{portal}/${path}`, "group", "203.0.113.1", body, headers));
    if (response.statusCode !== 200) throw new Error(`the function responded ${JSON.stringify(response)}`);
    return JSON.parse(response.body);
  };
  return [
    { name: "Vestibule, its function", pid: lambda.process.pid, ...client(invoke) },
    { name: "Vestibule, `cargo portal` with its database, its KMS and all else", pid: system.server.pid, ...client((path) => byFetch(`${issuer}/${path}`)) },
  ];
}

async function oidcProvider() {
  const secret = randomBytes(32).toString("base64url");
  other = await startPeer("oidc-provider.mjs", [], { NODE_ENV: "production", CLIENT_SECRET: secret });
  const issuer = `http://127.0.0.1:${PORT}`;
  const cookies = new Map();
  const authorize = async () => {
    const { verifier, query } = request();
    let url = `${issuer}/auth?${query}`;
    // The first one leads through the sign-in and comes back with a session.
    while (url.startsWith(issuer)) {
      const response = await fetch(url, { redirect: "manual", headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") } });
      for (const cookie of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
        if (value) cookies.set(name, value);
        else cookies.delete(name);
      }
      if (response.status < 300 || response.status > 399) throw new Error(`${url} responded ${response.status}: ${await response.text()}`);
      url = new URL(response.headers.get("location"), url).href;
    }
    const code = new URL(url).searchParams.get("code");
    if (!code) throw new Error(`no code: ${url}`);
    return { verifier, code };
  };
  return { name: "oidc-provider, with everything in memory", pid: other.pid, authorize, exchange: exchanger(secret, byFetch(`${issuer}/token`)) };
}

try {
  const servers = [...(await vestibule()), await oidcProvider()];
  const whole = servers.map(({ authorize, exchange, ...server }) => ({ ...server, act: async () => exchange(await authorize()) }));
  await compare(whole, { rounds, count, what: "authorizations with their tokens" });
  const exchanges = servers.map(({ authorize, exchange, ...server }) => ({ ...server, prepare: authorize, act: exchange }));
  await compare(exchanges, { rounds, count, what: "token exchanges" });
} finally {
  other?.kill();
  lambda?.stop();
  await system.stop();
  system.remove();
}
