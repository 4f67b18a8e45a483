// The OpenID Connect provider of npm in its simplest form: one confidential client, PKCE, RS256, everything in memory, and a
// sign-in that asks nothing. Usage: node oidc-provider.mjs PORT
import { generateKeyPairSync } from "node:crypto";
import { createServer } from "node:http";
import { Provider } from "oidc-provider";

const port = Number(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const claims = ["name", "given_name", "family_name", "preferred_username", "organization", "roles", "entitlements", "groups"];

const provider = new Provider(issuer, {
  clients: [{ client_id: "enrollment-desk", client_secret: process.env.CLIENT_SECRET, redirect_uris: ["https://enrollment.harborlight.example/callback"], response_types: ["code"], grant_types: ["authorization_code"] }],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), kid: "1", use: "sig", alg: "RS256" }] },
  cookies: { keys: ["a key that signs cookies"] },
  claims: { openid: ["sub"], profile: claims, email: ["email"] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: "Ruth Okafor", given_name: "Ruth", family_name: "Okafor", preferred_username: "ruth.okafor", email: "ruth@blueheron.example", organization: { id: "1", name: "Blue Heron Manufacturing", number: "GR20001" }, roles: ["principal"], entitlements: ["billing", "enrollment"], groups: ["BH01"] }),
  }),
  // The applications are the plan's own, so nobody is asked for consent.
  loadExistingGrant: async (ctx) => {
    const given = ctx.oidc.session.grantIdFor(ctx.oidc.client.clientId);
    if (given) return ctx.oidc.provider.Grant.find(given);
    const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
});

createServer((request, response) => {
  if (request.url.startsWith("/interaction/")) {
    return provider.interactionFinished(request, response, { login: { accountId: "ruth" } });
  }
  return provider.callback()(request, response);
}).listen(port, "127.0.0.1", () => console.log("ready"));
