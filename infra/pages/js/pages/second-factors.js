// The second factors of the signed-in person: adding, renaming and removing them, and recovery codes (MF-01).

import { get, patch, post, remove } from "../api.js";
import { facts, h, named, notice, tag } from "../dom.js";
import { action, form } from "../form.js";
import { link, page } from "../layout.js";
import { createPasskey, supportsPasskeys } from "../passkeys.js";
import { state } from "../state.js";
import { moment } from "../words.js";

const HOME = "profile/second-factors";
const BACK = [HOME, "Second factors"];

/** How each kind is added. */
const ADD = {
  passkey: { link: [`${HOME}/passkey`, "Add a passkey"], about: "Sign in with your fingerprint, your face, the PIN of your device, or a security key. A passkey can't be guessed or given to a false website." },
  authenticator_app: { link: [`${HOME}/app`, "Add an authenticator app"], about: "An app on your phone shows a code of six digits, which you enter after your password." },
};

/** Leads to the pages that add a factor. */
export const choices = () => h("ul", { class: "cards" }, state.portal.second_factor.methods.map((method) => h("li", null, link(...ADD[method].link), h("p", null, ADD[method].about))));

/** Where a page about factors leads back to; until a required factor is set up, this is the step. */
const back = () => (state.me.next_step ? ["next", "Set up a second factor"] : BACK);

const NAME = { name: "name", label: "Name", hint: "To recognize it later, such as Phone or Work laptop", maxlength: 60 };

const items = (factors, extra) =>
  factors.map((item) =>
    h("section", null,
      h("h3", null, item.name, " ", extra?.(item)),
      facts([["Added", moment(item.added_at)], ["Last used", item.last_used_at ? moment(item.last_used_at) : "Never"]]),
      h("p", { class: "links" }, link(`${HOME}/${item.id}/name`, named("Rename", item.name)), link(`${HOME}/${item.id}/removal`, named("Remove", item.name)))));

export async function list() {
  if (!state.portal.second_factor) return state.go("profile", { replaceEntry: true });
  const found = await get("me/second-factors");
  const { methods, trusted_device_days: days } = state.portal.second_factor;
  const any = found.passkeys.length + found.authenticator_apps.length > 0;
  const offers = (method) => methods.includes(method);
  return {
    title: "Second factors",
    back: ["profile", "My profile"],
    body: [
      found.pending_reset
        ? notice("warn", "A reset of your second factors was started", h("p", null, "Your second factors are removed when you confirm it. If you did not request it, cancel it."), action("Cancel the reset", () => remove("me/second-factor-reset"), { done: () => state.refresh("The reset was canceled.") }))
        : null,
      h("p", null, found.is_required ? "Your role requires a second factor when you sign in." : "With a second factor, nobody can sign in with your password alone.", " Add more than one, so that you can sign in if you lose one of them."),
      offers("passkey")
        ? [h("h2", null, "Passkeys"), found.passkeys.length ? items(found.passkeys, (p) => (p.signs_in_alone ? tag("Signs in without the password", "good") : tag("With the password"))) : h("p", null, "You have no passkeys."), h("p", null, link(...ADD.passkey.link, { class: "button" }))]
        : null,
      offers("authenticator_app")
        ? [h("h2", null, "Authenticator apps"), found.authenticator_apps.length ? items(found.authenticator_apps) : h("p", null, "You have no authenticator apps."), h("p", null, link(...ADD.authenticator_app.link, { class: "button" }))]
        : null,
      any
        ? [
            h("h2", null, "Recovery codes"),
            h("p", null, found.recovery_codes_left ? `${found.recovery_codes_left} unused recovery ${found.recovery_codes_left === 1 ? "code is" : "codes are"} left.` : "You have no recovery codes.", " Each replaces your second factor once."),
            h("p", null, link(`${HOME}/recovery-codes`, found.recovery_codes_left ? "Replace the recovery codes" : "Create recovery codes", { class: "button" })),
          ]
        : null,
      any && days ? trusted(found.trusted_devices, days) : null,
    ],
  };
}

/** The devices that need no second factor (MF-08). */
const trusted = (devices, days) => [
  h("h2", null, "Trusted devices"),
  h("p", null, devices.length ? "You don't need a second factor to sign in on these devices." : `When you sign in, you can trust a device. You then don't need a second factor on it for ${days} days.`),
  devices.map((d) =>
    h("section", null,
      h("h3", null, d.program, " ", d.is_current ? tag("This device", "good") : null),
      facts([["Trusted since", moment(d.trusted_at)], ["Until", moment(d.expires_at)]]),
      action(named("Remove", `${d.program}, trusted since ${moment(d.trusted_at)}`), () => remove(`me/second-factors/${d.id}`), { done: () => state.refresh("The device was removed. Its next sign-in requires your second factor.") }))),
];

/** What follows when a factor was added: recovery codes, unless there are some. */
async function added(message) {
  const { returnTo } = history.state ?? {};
  await state.loadProfile();
  const { recovery_codes_left: left } = await get("me/second-factors");
  if (left === 0) return state.go(`${HOME}/recovery-codes`, { message, returnTo });
  return state.me.next_step ? state.restart(message) : state.go(returnTo ?? HOME, { message });
}

export function addPasskey() {
  if (!supportsPasskeys()) return { title: "Add a passkey", back: back(), body: [h("p", null, "This browser can't create passkeys. Update it, use another one, or choose another second factor.")] };
  return {
    title: "Add a passkey",
    back: back(),
    body: [
      h("p", null, "Your browser asks for your fingerprint, your face, the PIN of this device, or a security key."),
      form({ fields: [NAME], submit: "Create passkey", cancel: { href: page(back()[0]) }, send: async ({ name }) => {
        await post("me/passkeys", { name, passkey: await createPasskey() });
        await added(`The passkey ${name} was added.`);
      } }),
    ],
  };
}

export async function addApp() {
  // How the person can confirm it, in case that is required first.
  state.session = get("sessions/current");
  state.session.catch(() => {});
  const enrollment = await post("me/authenticator-apps/enrollment");
  state.session = undefined;
  const key = enrollment.secret.replace(/(.{4})(?=.)/g, "$1 ");
  return {
    title: "Add an authenticator app",
    back: back(),
    body: [
      h("ol", { class: "steps" },
        h("li", null, "Open an authenticator app, such as the one of your password manager or phone."),
        h("li", null, "Scan this QR code with it.", h("img", { class: "qr", src: `data:image/svg+xml,${encodeURIComponent(enrollment.qr_code)}`, alt: "QR code for your authenticator app", width: 200, height: 200 }),
          h("details", null, h("summary", null, "Enter a key instead"), h("p", null, "Enter this key in the app, for codes that change with time:"), h("p", null, h("code", { class: "key" }, key)), h("p", null, h("a", { href: enrollment.uri }, "Open an app on this device")))),
        h("li", null, "Enter the code that the app shows.")),
      form({
        fields: [{ name: "code", label: "Code", hint: "Six digits", inputmode: "numeric", autocomplete: "one-time-code", width: "w10", maxlength: 12, missing: "Enter the code that the app shows." }, NAME],
        submit: "Add app",
        cancel: { href: page(back()[0]) },
        send: async ({ name, code }) => {
          await post("me/authenticator-apps", { name, code: code.replace(/\s/g, ""), enrollment: enrollment.enrollment });
          await added(`The authenticator app ${name} was added.`);
        },
      }),
    ],
  };
}

/** The new codes; only in memory, until the page is left. */
let codes;

export function recoveryCodes() {
  if (codes) return shownCodes();
  const { returnTo } = history.state ?? {};
  return {
    title: "Recovery codes",
    back: BACK,
    body: [
      h("p", null, "With recovery codes you can sign in when your second factor is lost. Each code works once. Keep them where only you find them, such as in a password manager or on paper, and not on the device with your second factor."),
      h("p", null, "New codes replace all earlier ones."),
      form({ fields: [], submit: "Create recovery codes", cancel: { href: page(returnTo ?? HOME), text: "Not now" }, send: async () => {
        ({ codes } = await post("me/recovery-codes"));
        await state.show();
      } }),
    ],
  };
}

function shownCodes() {
  const { returnTo } = history.state ?? {};
  const { portal } = state;
  const text = [`Recovery codes for ${portal.title}`, "Each code works once.", "", ...codes, ""].join("\r\n");
  const status = h("p", { role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(codes.join("\n"));
      status.textContent = "The codes were copied.";
    } catch {
      status.textContent = "The codes could not be copied. Select them and copy them, or print them.";
    }
  };
  const save = () => {
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    h("a", { href: url, download: "recovery-codes.txt" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  };
  return {
    title: "Save your recovery codes",
    body: [
      notice("warn", null, h("p", null, "These codes are shown only now. Print, download or copy them before you continue.")),
      h("ul", { class: "codes" }, codes.map((code) => h("li", null, h("code", null, code)))),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => print() }, "Print"), h("button", { type: "button", onclick: save }, "Download"), h("button", { type: "button", onclick: copy }, "Copy")),
      status,
      form({ fields: [{ name: "saved", label: "I have saved the codes", type: "checkbox", required: true, missing: "Save the codes, then select the box." }], submit: "Continue", send: async () => {
        codes = undefined;
        await state.go(returnTo ?? HOME, { replaceEntry: true, message: "Your recovery codes were created." });
      } }),
    ],
    leave: () => {
      codes = undefined;
    },
  };
}

async function find(id) {
  const found = await get("me/second-factors");
  return [...found.passkeys, ...found.authenticator_apps].find((f) => f.id === id);
}

const gone = { title: "Page not found", back: BACK, body: [h("p", null, "This second factor was removed.")] };

export async function rename({ params }) {
  const factor = await find(params.id);
  if (!factor) return gone;
  return {
    title: `Rename ${factor.name}`,
    back: BACK,
    body: [form({ fields: [NAME], values: { name: factor.name }, submit: "Save name", cancel: { href: page(HOME) }, send: async (values) => {
      await patch(`me/second-factors/${params.id}`, values);
      await state.go(HOME, { message: "The name was changed." });
    } })],
  };
}

export async function removeFactor({ params }) {
  const factor = await find(params.id);
  if (!factor) return gone;
  return {
    title: `Remove ${factor.name}?`,
    back: BACK,
    body: [
      h("p", null, "You can no longer sign in with it. If it is your only second factor, your recovery codes stop working as well."),
      form({ fields: [], submit: "Remove", danger: true, cancel: { href: page(HOME) }, send: async () => {
        await remove(`me/second-factors/${params.id}`);
        await state.go(HOME, { message: `${factor.name} was removed.` });
      } }),
    ],
  };
}
