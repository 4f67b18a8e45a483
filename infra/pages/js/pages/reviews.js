// Access reviews (EX-11) and the agents under a managing agent (AG-12).

import { Problem, fetchList, get, post, put, query } from "../api.js";
import { facts, h, named, notice, table, tag } from "../dom.js";
import { action } from "../form.js";
import { link, linkWith } from "../layout.js";
import { roleTitle, state } from "../state.js";
import { date, moment } from "../words.js";
import { row } from "./users.js";

const DECISION = { confirmed: ["Confirmed", "good"], removed: ["Removed", "bad"], pending: ["Not reviewed", "warn"] };

/** The manager with an id. The profile lists only users who are still administrators. */
function who(id) {
  if (id === state.me.id) return "You";
  const manager = state.me.organization?.administrators.find((a) => a.id === id);
  return manager ? `${manager.first_name} ${manager.last_name}` : "A former manager";
}

export async function review({ search }) {
  const decision = search.get("decision") ?? undefined;
  let found;
  try {
    found = await get(`access-reviews/current${query({ decision, cursor: search.get("cursor") })}`);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 404) throw error;
  }
  const begin = (text) => action(text, (key) => post("access-reviews", undefined, key), { kind: "primary", done: () => state.refresh("The review has started. All managers were notified by email.") });
  if (!found) {
    return { title: "Access review", body: [h("p", null, "In a review, managers confirm or remove each account of the organization. None has been started yet."), begin("Start a review")] };
  }
  const decide = (a, value, text) => action(named(text, `${a.first_name} ${a.last_name}`), () => put(`access-reviews/current/users/${a.id}`, { decision: value }), { done: () => state.refresh(`${a.first_name} ${a.last_name}: ${DECISION[value][0].toLowerCase()}.`) });
  return {
    title: "Access review",
    wide: true,
    body: [
      found.is_overdue ? notice("warn", "This review is overdue", h("p", null, `It was due on ${date(found.due_date)}. Review the accounts that are left, or start a new review.`)) : null,
      facts([["Started", moment(found.started_at)], ["Started by", found.started_by ? who(found.started_by) : "Automatically"], ["Due", date(found.due_date)]]),
      h("p", null, decision === "pending" ? link("access-review", "Show all accounts") : link("access-review?decision=pending", "Show only accounts that are not reviewed")),
      found.accounts.length
        ? h("div", { class: "stack" }, table("Accounts to review", ["Name", "Username", "Role", "Decision", "Actions"], found.accounts.map((a) => [
            `${a.first_name} ${a.last_name}`,
            a.username,
            roleTitle(a.role),
            h("span", null, tag(...DECISION[a.decision]), a.decided_by ? ` by ${who(a.decided_by).replace(/^(You|A former manager)$/, (text) => text.toLowerCase())}` : "", a.decided_at ? `, ${moment(a.decided_at)}` : ""),
            a.decision === "pending" ? h("span", null, decide(a, "confirmed", "Confirm"), decide(a, "removed", "Remove")) : "",
          ])))
        : h("p", null, decision ? "All accounts are reviewed." : "There are no accounts to review."),
      found.next_cursor ? link(`access-review${query({ decision, cursor: found.next_cursor })}`, "Next page", { class: "button" }) : null,
      found.is_overdue ? begin("Start a new review") : null,
    ],
  };
}

export async function agents({ search }) {
  // Names are not part of the page's address.
  const { searched: text } = history.state ?? {};
  const found = await fetchList("agents", text, { cursor: search.get("cursor") ?? undefined, limit: 50 });
  return {
    title: "Agents under you",
    wide: true,
    body: [
      row({ fields: [{ name: "query", label: "Search", hint: "The beginning of a name or of an agent ID", optional: true }], values: { query: text }, submit: "Search", send: (values) => state.go("agents", { searched: values.query }) }),
      found.items.length ? table("Agents", ["Name", "Agent ID"], found.items.map((a) => [a.name, a.agent_id])) : h("p", { role: "status" }, text ? "No agents match." : "There are no agents under you."),
      found.next_cursor ? linkWith({ searched: text }, `agents${query({ cursor: found.next_cursor })}`, "Next page", { class: "button" }) : null,
    ],
  };
}
