// The audit trail of an organization, and of the portals that a help desk serves.

import { download, get, post, query } from "../api.js";
import { h, table, tag } from "../dom.js";
import { action } from "../form.js";
import { link, linkWith } from "../layout.js";
import { state } from "../state.js";
import { ACTIONS, actionTitle, moment, words } from "../words.js";
import { row } from "./users.js";

const NAMES = ["user_ids", "organization_id", "action", "outcome", "from", "to"];

async function trail({ search, title, api, page, portalField, back }) {
  // Usernames are not part of the page's address.
  const { searched: username } = history.state ?? {};
  const filters = Object.fromEntries(NAMES.map((n) => [n, search.get(n) ?? undefined]));
  const portal = search.get("portal") ?? undefined;
  const cursor = search.get("cursor");
  const path = api(portal);
  const asked = path && (search.size > 0 || !portalField);
  const users = asked && username ? (await post(`${path}/users/search`, { username })).items : undefined;
  const wanted = { ...filters, user_ids: users ? users.map((u) => u.id).join(",") : filters.user_ids };
  // Nothing is about a username that nobody has or had.
  const nobody = users?.length === 0;
  const found = nobody ? { items: [] } : asked ? await get(`${path}${query({ ...wanted, cursor })}`) : undefined;
  const options = [["done", "Done"], ["refused", "Refused"]];
  return {
    title,
    wide: true,
    back,
    body: [
      row({
        fields: [
          portalField,
          { name: "username", label: "Username", optional: true, plain: true },
          { name: "action", label: "Action", more: true, type: "select", options: Object.entries(ACTIONS).sort((a, b) => a[1].localeCompare(b[1])), optional: true, empty: "All actions" },
          { name: "outcome", label: "Result", more: true, type: "select", options, optional: true, empty: "All results" },
          { name: "from", label: "From", more: !portalField, type: "date", optional: portalField === undefined || Boolean(filters.user_ids) },
          { name: "to", label: "To", more: true, type: "date", optional: true },
        ].filter(Boolean),
        values: { ...filters, username, portal, from: filters.from ?? (portalField ? new Date(Date.now() - 6 * 86_400_000).toISOString().slice(0, 10) : undefined) },
        submit: "Search",
        send: ({ username: name, ...values }) => state.go(`${page}${query({ ...values, user_ids: name ? undefined : filters.user_ids })}`, { searched: name }),
      }),
      filters.user_ids ? h("p", null, "Only entries about one user. ", link(`${page}${query({ ...filters, portal, user_ids: undefined })}`, "Show all users")) : null,
      found
        ? [
            found.items.length
              ? h("div", { class: "stack" }, table("Audit trail", ["When", "Who", "What", "On", "Result", "From", "Reason"], found.items.map((e) => [
                  moment(e.occurred_at),
                  e.actor_username ?? words(e.actor),
                  actionTitle(e.action),
                  e.object_username ?? "",
                  h("span", null, e.outcome === "refused" ? tag("Refused", "bad") : "Done", e.is_verified ? null : tag("Altered: notify the help desk", "bad")),
                  e.source ?? "",
                  e.justification ?? (e.reason ? words(e.reason) : ""),
                ])))
              : h("p", { role: "status" }, found.next_cursor ? "Nothing on this page. Continue with the next one." : "No entries match."),
            nobody ? null : h("div", { class: "buttons" },
              found.next_cursor ? linkWith({ searched: username }, `${page}${query({ ...filters, portal, cursor: found.next_cursor })}`, "Earlier entries", { class: "button" }) : null,
              action("Download as CSV", () => download(`${path}.csv${query(wanted)}`, "audit-trail.csv", "text/csv")),
              action("Download as JSON Lines", () => download(`${path}.jsonl${query(wanted)}`, "audit-trail.jsonl", "application/jsonl"))),
          ]
        : h("p", null, "Select a portal and a period. Searches are recorded on the trail of the portal."),
    ],
  };
}

export const own = ({ search }) => trail({ search, title: "Audit trail", api: () => "audit-events", page: "audit-trail" });

export const portals = ({ search }) =>
  trail({
    search,
    title: "Audit trails of the portals",
    page: "accounts/audit-trail",
    api: (portal) => (portal ? `accounts/${encodeURIComponent(portal)}/audit-events` : undefined),
    portalField: { name: "portal", label: "Portal", type: "select", options: state.portal.help_desk_for.map((p) => [p.id, p.title]), missing: "Select a portal." },
  });
