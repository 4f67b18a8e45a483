// A server of better-auth with its database in SQLite, as its documentation sets it up, and with Argon2id for passwords.
import { createServer } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { hash, verify } from "@node-rs/argon2";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";

const parameters = { memoryCost: 19456, timeCost: 2, parallelism: 1 };
const [port, file] = process.argv.slice(2);
const auth = betterAuth({
  baseURL: `http://127.0.0.1:${port}`,
  secret: "a secret of this measurement only, 32 bytes or more",
  database: new DatabaseSync(file),
  emailAndPassword: {
    enabled: true,
    password: {
      hash: (password) => hash(password, parameters),
      verify: ({ hash, password }) => verify(hash, password),
    },
  },
  rateLimit: { enabled: false },
  telemetry: { enabled: false },
});
const { runMigrations } = await getMigrations(auth.options);
await runMigrations();
createServer(toNodeHandler(auth)).listen(Number(port), "127.0.0.1", () => console.log("ready"));
