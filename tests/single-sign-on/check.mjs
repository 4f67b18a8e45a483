// Starts the portal, and goes through sign-in, userinfo, introspection, renewal, revocation and sign-out with each client.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import * as oauth from "oauth4webapi";
import * as openid from "openid-client";
import { System } from "../browser/system.mjs";

const APPLICATION = "enrollment-desk";
const CALLBACK = "https://enrollment.harborlight.example/callback";
const AFTER = "https://enrollment.harborlight.example/";
const insecure = { [oauth.allowInsecureRequests]: true };

async function call(method, url, body, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  assert.ok(response.ok, `${url} responded ${response.status}: ${await response.clone().text()}`);
  return response.status === 204 ? null : response.json();
}

/** A user's browser: a session of the portal, with which the authorize page is opened. */
class User {
  static async signsIn(issuer, username) {
    const credentials = { username, password: "Quiet-River-58!", token_delivery: "body" };
    const session = await call("POST", `${issuer}/sessions`, credentials);
    return Object.assign(new User(), { issuer, token: session.token });
  }

  /** Opens the address that an application sends the browser to, and returns the one that it is sent back to. */
  async opens(url) {
    assert.equal(url.pathname, "/group/app/authorize");
    const { redirect_to } = await call("POST", `${this.issuer}/authorizations`, { query: url.search.slice(1) }, this.token);
    assert.ok(redirect_to, "the page is sent back to the application");
    return new URL(redirect_to);
  }
}

function check(claims, username) {
  assert.equal(claims.preferred_username, username);
  assert.equal(claims.organization.name, "Blue Heron Manufacturing");
  assert.ok(claims.entitlements.includes("enrollment"), JSON.stringify(claims));
}

async function withOpenidClient(issuer, secret) {
  const config = await openid.discovery(new URL(issuer), APPLICATION, secret, openid.ClientSecretBasic(secret), { execute: [openid.allowInsecureRequests] });
  const user = await User.signsIn(issuer, "sam.lind");
  const signIn = async (more) => {
    const verifier = openid.randomPKCECodeVerifier();
    const [state, nonce] = [openid.randomState(), openid.randomNonce()];
    const code_challenge = await openid.calculatePKCECodeChallenge(verifier);
    const url = openid.buildAuthorizationUrl(config, { redirect_uri: CALLBACK, scope: "openid profile email", code_challenge, code_challenge_method: "S256", state, nonce, ...more });
    const back = await user.opens(url);
    return openid.authorizationCodeGrant(config, back, { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce });
  };
  const tokens = await signIn({});
  const claims = tokens.claims();
  check(claims, "sam.lind");
  const info = await openid.fetchUserInfo(config, tokens.access_token, claims.sub);
  assert.equal(info.email, claims.email);
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, true);
  // Renewal without a page: the session is still there.
  const renewed = await signIn({ prompt: "none" });
  assert.equal(renewed.claims().sid, claims.sid);
  await openid.tokenRevocation(config, tokens.access_token);
  assert.equal((await openid.tokenIntrospection(config, tokens.access_token)).active, false);

  const end = openid.buildEndSessionUrl(config, { id_token_hint: renewed.id_token, post_logout_redirect_uri: AFTER, state: "bye" });
  const ended = await fetch(end, { redirect: "manual" });
  assert.equal(ended.status, 303);
  assert.equal(ended.headers.get("location"), `${AFTER}?state=bye`);
  await assert.rejects(openid.fetchUserInfo(config, renewed.access_token, claims.sub));
  await assert.rejects(signIn({ prompt: "none" }));
}

async function withOauth4webapi(issuer, secret) {
  const at = new URL(issuer);
  const server = await oauth.processDiscoveryResponse(at, await oauth.discoveryRequest(at, insecure));
  const client = { client_id: APPLICATION };
  const user = await User.signsIn(issuer, "sam.lind");
  const verifier = oauth.generateRandomCodeVerifier();
  const [state, nonce] = [oauth.generateRandomState(), oauth.generateRandomNonce()];
  const url = new URL(server.authorization_endpoint);
  const parameters = { client_id: APPLICATION, redirect_uri: CALLBACK, response_type: "code", scope: "openid profile", state, nonce, code_challenge_method: "S256", code_challenge: await oauth.calculatePKCECodeChallenge(verifier) };
  url.search = new URLSearchParams(parameters);
  const back = oauth.validateAuthResponse(server, client, await user.opens(url), state);
  const grant = (code = back) => oauth.authorizationCodeGrantRequest(server, client, oauth.ClientSecretPost(secret), code, CALLBACK, verifier, insecure);
  const response = await grant();
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, { expectedNonce: nonce, requireIdToken: true });
  await oauth.validateApplicationLevelSignature(server, response, insecure);
  const claims = oauth.getValidatedIdTokenClaims(tokens);
  check(claims, "sam.lind");
  const userinfo = () => oauth.userInfoRequest(server, client, tokens.access_token, insecure);
  await oauth.processUserInfoResponse(server, client, claims.sub, await userinfo());
  // A code that is used again is refused and revokes what it gave.
  const again = oauth.processAuthorizationCodeResponse(server, client, await grant(), { expectedNonce: nonce });
  await assert.rejects(again, (error) => error.error === "invalid_grant");
  assert.equal((await userinfo()).status, 401);
}

const system = new System();
try {
  await system.start("--log", "error");
  const issuer = `${system.base}/group`;
  const secret = system.run("client-secret", "--portal", "group", "--application", APPLICATION).trim();
  for (const [name, client] of [["openid-client", withOpenidClient], ["oauth4webapi", withOauth4webapi]]) {
    await client(issuer, secret);
    console.log(`${name}: ok`);
  }
  execFileSync(process.env.PYTHON ?? "python3", [new URL("check.py", import.meta.url).pathname, issuer], { stdio: "inherit", env: { ...process.env, CLIENT_SECRET: secret } });
} finally {
  await system.stop();
  system.remove();
}
