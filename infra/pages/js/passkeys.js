// Ceremonies with passkeys (WebAuthn). The browser decides how its user proves who they are.

import { Problem, post } from "./api.js";

/** Whether this browser can use passkeys. */
export const supportsPasskeys = () => typeof window.PublicKeyCredential?.parseRequestOptionsFromJSON === "function";

/** Whether this browser offers passkeys in the username field. */
export const offersPasskeys = async () => supportsPasskeys() && Boolean(await PublicKeyCredential.isConditionalMediationAvailable?.());

const FAULTS = {
  InvalidStateError: "This device already has a passkey for your account. Use another device, or choose another way.",
  SecurityError: "Passkeys can't be used at this web address. Choose another way.",
  NotSupportedError: "This device can't create such a passkey. Use another device, or choose another way.",
};

/** Runs a ceremony and reports its failure in words; the browser doesn't reveal more. */
async function ceremony(run) {
  try {
    return (await run()).toJSON();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ type: "passkey-unused", detail: FAULTS[error.name] ?? "No passkey was used. Try again, or choose another way." });
  }
}

async function sign(path, { mediation = "optional", signal } = {}) {
  const challenge = await post(path);
  const credential = await ceremony(() => navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(challenge.options), mediation, signal }));
  return { ceremony: challenge.ceremony, credential };
}

/** Creates a passkey for the signed-in person. */
export async function createPasskey() {
  const challenge = await post("me/passkeys/challenge");
  const credential = await ceremony(() => navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(challenge.options) }));
  return { ceremony: challenge.ceremony, credential };
}

/** Uses a passkey as the second factor of the session. */
export const signChallenge = () => sign("sessions/current/passkey-challenge");

/** Uses a passkey instead of username and password (MF-03). */
export const signInWithPasskey = async (options) => post("sessions/passkey", { passkey: await sign("passkey-challenges", options) });
