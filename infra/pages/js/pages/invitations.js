// Invitations, one at a time or from a file.

import { Problem, get, post, query, remove, upload } from "../api.js";
import { h, named, table, tag } from "../dom.js";
import { action, form } from "../form.js";
import { link } from "../layout.js";
import { roleTitle, state } from "../state.js";
import { INVITATION, emailField, moment, nameFields, words } from "../words.js";
import { END_DATE, roleField } from "./users.js";

/** An invitation that can still be accepted, or resent. */
const OPEN = ["pending", "expired"];

export async function list({ search }) {
  const found = await get(`invitations${query({ cursor: search.get("cursor") })}`);
  return {
    title: "Invitations",
    wide: true,
    body: [
      h("div", { class: "buttons" }, link("invitations/new", "Invite a user", { class: "button primary" }), link("invitations/upload", "Upload a list")),
      found.items.length
        ? h("div", { class: "stack" }, table("Invitations", ["Name", "Email address", "Role", "Status", "Sent", "Valid until", "Actions"], found.items.map((i) => [
            `${i.first_name} ${i.last_name}`,
            i.email,
            roleTitle(i.role),
            tag(INVITATION[i.status] ?? words(i.status), ({ expired: "warn", revoked: "bad" })[i.status] ?? ""),
            `${moment(i.sent_at)}${i.sent > 1 ? ` (${i.sent} times)` : ""}`,
            OPEN.includes(i.status) ? moment(i.expires_at) : "",
            !OPEN.includes(i.status) ? "" : h("span", null,
              action(named("Resend", `the invitation of ${i.first_name} ${i.last_name}`), () => post(`invitations/${i.id}/resend`), { done: () => state.refresh(`The invitation was sent to ${i.email} again. The link in the earlier email no longer works.`) }),
              i.status === "pending" ? action(named("Revoke", `the invitation of ${i.first_name} ${i.last_name}`), () => remove(`invitations/${i.id}`), { done: () => state.refresh(`The invitation of ${i.first_name} ${i.last_name} was revoked.`) }) : null),
          ])))
        : h("p", null, "You have not invited anyone yet."),
      found.next_cursor ? link(`invitations${query({ cursor: found.next_cursor })}`, "Next page", { class: "button" }) : null,
    ],
  };
}

export function invite() {
  const backup = state.me.notices.includes("invite_backup");
  return {
    title: "Invite a user",
    back: ["invitations", "Invitations"],
    body: [
      h("p", null, "The person receives an email with a link and registers with it. You are notified when that has happened."),
      form({
        fields: [...nameFields().map((f) => ({ ...f, autocomplete: "off" })), emailField({ autocomplete: "off", hint: "Only this address can use the invitation." }), roleField(), END_DATE],
        values: { role: backup ? "administrator" : undefined },
        submit: "Send invitation",
        send: async (values, key) => {
          await post("invitations", values, key);
          await state.goFresh("invitations", `An invitation was sent to ${values.email}.`);
        },
      }),
    ],
  };
}

const RESULT = { created: ["Done", "good"], already_exists: ["Was already there", ""], rejected: ["Not accepted", "bad"], retry: ["Try again", "warn"] };

function uploadPage({ title, path, back, what, columns }) {
  const results = h("div", { "aria-live": "polite" });
  const made = form({
    fields: [{ name: "file", label: "CSV file", hint: "UTF-8, separated by commas, at most 500 rows", type: "file", accept: ".csv,text/csv", missing: "Select a file." }],
    submit: "Upload",
    send: async ({ file }) => {
      results.replaceChildren();
      if (file.size > 1_048_576) throw new Problem({ type: "too-large", detail: "The file is larger than 1 MiB. Split it and upload the parts one after the other." });
      const answer = await upload(path, await file.text());
      const lines = answer.rows.map((r) => {
        const [text, kind] = RESULT[r.status];
        return [`Row ${r.row}`, tag(text, kind), [r.detail, ...(r.errors ?? []).map((e) => `${words(e.field)}: ${e.detail}`)].filter(Boolean).join(" ")];
      });
      results.append(
        h("h2", { tabindex: "-1" }, "Result"),
        h("p", null, `${answer.created} ${what}, ${answer.already_exists} already there, ${answer.rejected} not accepted, ${answer.retry} to try again.`),
        answer.rejected || answer.retry ? h("p", null, "Correct the file and upload all of it again. Nobody is added twice.") : null,
        table("Result", ["Row", "Result", "Reason"], lines),
      );
      results.querySelector("h2").focus();
    },
  });
  return {
    title,
    back,
    body: [
      h("p", null, "The first row of the file contains the names of the columns: ", h("code", null, columns.join(",")), ". Columns after last_name are optional."),
      h("p", null, `Roles: ${(state.me.grantable_roles ?? []).map((r) => `${r} (${roleTitle(r)})`).join(", ")}. Dates: 2027-12-31.`),
      made,
      results,
    ],
  };
}

export const uploadInvitations = () => uploadPage({ title: "Invite users from a list", path: "invitations.csv", back: ["invitations", "Invitations"], what: "invited", columns: ["email", "first_name", "last_name", "role", "end_date"] });

export const uploadUsers = () => uploadPage({ title: "Add users from a list", path: "users.csv", back: ["users", "Users"], what: "added", columns: ["email", "first_name", "last_name", "role", "end_date", "services", "group_codes"] });
