import { test } from "node:test";
import { journey } from "./harness.mjs";

test("ag_11 an agent without a current agreement sees how to sign it and nothing protected", journey(async (v) => {
  await v.signsIn("agent", "luis.ortega");
  await v.sees("Producer Agreement");
  await v.page.getByRole("link", { name: /Read or download the Producer Agreement/ }).waitFor();
  await v.open("/agent/app/users");
  await v.sees("Producer Agreement");
}));

test("ag_12 a managing agent looks up the agents under them", journey(async (v) => {
  await v.signsIn("agent", "dana.whitfield");
  await v.page.getByRole("navigation").getByRole("link", { name: "Agents" }).click();
  await v.sees("Agents under you");
  const row = v.page.getByRole("row").nth(1);
  const id = await row.getByRole("cell").last().textContent();
  await v.fill({ Search: id });
  await v.presses("Search");
  await v.page.getByRole("row", { name: new RegExp(id) }).waitFor();
}));
