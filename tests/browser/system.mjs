// Starts and stops the whole system with a data folder of its own, for the browser tests and for the checks of single sign-on.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const binary = process.env.PORTAL ?? join(root, "target/debug/portal");

export class System {
  /** Creates the folders: the policies of the source tree and those of the tests. */
  constructor() {
    if (!existsSync(binary)) throw new Error(`${binary} does not exist: run cargo build --workspace --bin portal`);
    this.folder = mkdtempSync(join(tmpdir(), "vestibule-browser-"));
    this.portals = join(this.folder, "portals");
    this.data = join(this.folder, "data");
    cpSync(join(root, "infra/portals"), this.portals, { recursive: true });
    for (const own of ["mixed.toml", "guarded.toml"]) cpSync(join(here, own), join(this.portals, own));
  }

  get folders() {
    return ["--data", this.data, "--portals", this.portals];
  }

  /** Serves on a free port, and later on the same one, until `stop`. PAGES is a folder of pages to use instead of those in the binary. */
  async start(...options) {
    const pages = process.env.PAGES ? ["--pages", process.env.PAGES] : [];
    this.server = spawn(binary, ["--port", this.base ? new URL(this.base).port : "0", ...this.folders, ...pages, ...options], { stdio: ["ignore", "pipe", "inherit"] });
    this.base = await new Promise((resolve, reject) => {
      let printed = "";
      this.server.stdout.on("data", (chunk) => {
        printed += chunk;
        const found = /Vestibule runs at (http:\/\/[^/\s]+)\//.exec(printed);
        if (found) resolve(found[1]);
      });
      this.server.on("exit", () => reject(new Error(`the system stopped: ${printed}`)));
    });
    return this;
  }

  async stop() {
    const stopped = new Promise((resolve) => this.server.on("exit", resolve));
    this.server.kill("SIGTERM");
    await stopped;
  }

  /** Runs another command on the data folder. */
  run(command, ...options) {
    const done = spawnSync(binary, [command, ...this.folders, ...options], { encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${command}: ${done.stdout}${done.stderr}`);
    return done.stdout;
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
