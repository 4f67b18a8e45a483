// Measures servers in turns by the CPU time of their processes.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

/** CPU time of a process in milliseconds, by the scheduler's count of its threads. */
export function cpu(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  // 100 ticks a second: Linux reports them so to every program.
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** A port that other runs of the comparison don't use; and the first of the ports of the local AWS. */
export const PORT = 20_000 + (process.pid % 20_000);
export const AWS_PORT = PORT + 10;

/** Starts a server of this folder on PORT, with these arguments. It prints a line when it is ready. */
export async function startPeer(file, args = [], env = {}) {
  const path = new URL(file, import.meta.url).pathname;
  const peer = spawn(process.execPath, [path, PORT, ...args], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, ...env } });
  await once(peer.stdout, "data");
  return peer;
}

/**
 * Lets each server act in turns and prints how many actions one second of its CPU time buys. A server has a `name`, a `pid`, and
 * `act`, which may be preceded by `prepare`, whose time does not count.
 */
export async function compare(servers, { rounds, count, what }) {
  const measured = servers.map((server) => ({ ...server, rates: [] }));
  const once = async ({ prepare, act, pid }, times) => {
    const prepared = [];
    for (let i = 0; i < times; i++) prepared.push(await prepare?.());
    const before = cpu(pid);
    for (const given of prepared) await act(given);
    return (times / (cpu(pid) - before)) * 1000;
  };
  for (const server of measured) await once(server, 30);
  for (let round = 1; round <= rounds; round++) {
    for (const server of measured) server.rates.push(await once(server, count));
    process.stderr.write(`round ${round} of ${rounds}\n`);
  }
  console.log(`| | ${what} per CPU second: median | lowest | highest |\n|---|---|---|---|`);
  for (const { name, rates } of measured) {
    rates.sort((a, b) => a - b);
    console.log(`| ${name} | ${[rates[rates.length >> 1], rates[0], rates.at(-1)].map((r) => r.toFixed(1)).join(" | ")} |`);
  }
}
