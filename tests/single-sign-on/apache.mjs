// Apache with mod_auth_openidc in front of a page: a user signs in through the portal's pages in Chromium, an administrator
// disables the user, and the logout token ends the session at Apache. Needs Debian's apache2, libapache2-mod-auth-openidc
// and chromium, and the packages of tests/browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { System } from "../browser/system.mjs";

const { chromium } = createRequire(new URL("../browser/harness.mjs", import.meta.url))("playwright-core");
const PASSWORD = "Quiet-River-58!";
const system = new System();
const { folder } = system;

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Waits until something outside of this process is so. */
async function until(what, holds) {
  const ends = Date.now() + 60_000;
  while (!(await holds())) {
    assert.ok(Date.now() < ends, `${what}: not within a minute`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Makes Apache the application of the group portal. */
function adaptPolicy(apache) {
  const file = join(system.portals, "group.toml");
  const policy = readFileSync(file, "utf8")
    .replace(/^redirect_uris = .*$/m, `redirect_uris = ["${apache}/protected/callback"]`)
    .replace(/^post_logout_redirect_uris = .*$/m, `post_logout_redirect_uris = ["${apache}/"]`)
    .replace(/^backchannel_logout_uri = .*$/m, `backchannel_logout_uri = "${apache}/protected/callback?logout=backchannel"`);
  writeFileSync(file, policy);
}

function startApache(port, issuer, secret) {
  const site = join(folder, "site");
  mkdirSync(join(site, "protected"), { recursive: true });
  writeFileSync(join(site, "index.html"), "<h1>Signed out</h1>");
  writeFileSync(join(site, "protected", "index.html"), "<h1>Enrollment for <!--#echo var=\"OIDC_CLAIM_name\" --></h1>");
  const modules = ["mpm_event", "authn_core", "authz_core", "authz_user", "dir", "mime", "include", "auth_openidc"];
  const config = `
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
ServerRoot ${folder}
PidFile ${folder}/apache.pid
ErrorLog ${folder}/apache.log
DocumentRoot ${site}
${modules.map((m) => `LoadModule ${m}_module /usr/lib/apache2/modules/mod_${m}.so`).join("\n")}
TypesConfig /etc/mime.types
DirectoryIndex index.html
<Directory ${site}>
  Options +Includes
  SetOutputFilter INCLUDES
  Require all granted
</Directory>
OIDCProviderMetadataURL ${issuer}/.well-known/openid-configuration
OIDCClientID enrollment-desk
OIDCClientSecret ${secret}
OIDCRedirectURI http://127.0.0.1:${port}/protected/callback
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCCryptoPassphrase a-passphrase-of-this-check
OIDCSessionType server-cache
<Location /protected>
  AuthType openid-connect
  Require valid-user
</Location>
`;
  writeFileSync(join(folder, "apache.conf"), config);
  return spawn("/usr/sbin/apache2", ["-f", join(folder, "apache.conf"), "-D", "FOREGROUND"], { stdio: "inherit" });
}

let browser, apache;
try {
  const port = await freePort();
  const application = `http://127.0.0.1:${port}`;
  adaptPolicy(application);
  const { base } = await system.start("--log", "warn");
  const secret = system.run("client-secret", "--portal", "group", "--application", "enrollment-desk").trim();
  apache = startApache(port, `${base}/group`, secret);
  await until("Apache responds", () => fetch(`${application}/`).then((r) => r.ok, () => false));

  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  const page = await (await browser.newContext()).newPage();
  const shows = (text) => page.getByRole("heading", { name: text }).waitFor({ timeout: 20_000 });
  await page.goto(`${application}/protected/`);
  await page.getByLabel("Username", { exact: true }).fill("sam.lind");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await shows("Enrollment for Sam Lind");
  console.log("Apache: signed in through the portal's pages");

  // Another application session, opened while the portal's is open, asks for nothing.
  await page.context().clearCookies({ domain: "127.0.0.1" });
  await page.goto(`${application}/protected/`);
  await shows("Enrollment for Sam Lind");
  console.log("Apache: signed in again without a question");

  const call = async (method, path, body, token) => {
    const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(`${base}/group${path}`, { method, headers, body: body && JSON.stringify(body) });
    assert.ok(response.ok, `${method} ${path} responded ${response.status}: ${await response.clone().text()}`);
    return response.status === 204 ? null : response.json();
  };
  const ruth = await call("POST", "/sessions", { username: "ruth.okafor", password: PASSWORD, token_delivery: "body" });
  const users = await call("POST", "/users/search", { query: "sam.lind" }, ruth.token);
  const sam = users.items.find((u) => u.username === "sam.lind");
  await call("PUT", `/users/${sam.id}/status`, { status: "disabled" }, ruth.token);
  await until("the logout token ends the session at Apache", async () => {
    const response = await page.context().request.get(`${application}/protected/`, { maxRedirects: 0 });
    return response.status() === 302;
  });
  console.log("Apache: signed out by the logout token when an administrator disabled the user");
} finally {
  await browser?.close();
  apache?.kill();
  await system.stop();
  system.remove();
}
