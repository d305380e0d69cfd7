// The examples, run as they are against a real server.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { NO_SECRETS, SECRETS, secret, serve, serveSecurely } from "./served.js";

let served: Awaited<ReturnType<typeof serve>>;
before(async () => {
  served = await serve();
});
after(() => served.stop());

/** The words of each line that an example prints. */
async function run(name: string, ...given: string[]): Promise<string[][]> {
  const example = fileURLToPath(new URL(`../examples/${name}.js`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [example, ...(given.length ? given : [served.address])], {
    timeout: 60_000,
    env: { ...process.env, NBO_TOKEN: SECRETS && secret("website.token").trim() },
  });
  return stdout.trimEnd().split("\n").map((line) => line.split(" "));
}

it("offers", async () => {
  const printed = await run("offers");
  assert.deepEqual(
    printed.map(([rank, offer]) => [rank, offer]),
    [
      ["1", "savings_easy_access"],
      ["2", "fund_balanced"],
      ["3", "travel_annual"],
    ],
  );
});

it("page", async () => {
  const [words] = await run("page");
  assert.deepEqual(words!.slice(0, 3), ["1", "event", "recorded"]);
  assert.match(words![3]!, /^fund_/);
});

it("watching", async () => {
  const [now, then] = await run("watching");
  assert.deepEqual([now![0], then![0], then!.length], ["1", "2", 4]);
  assert.match(then![1]!, /^fund_/);
  assert.notDeepEqual(now!.slice(1), then!.slice(1));
});

it("secure", { skip: SECRETS ? false : NO_SECRETS }, async () => {
  const { address, stop } = await serveSecurely();
  try {
    const [offers] = await run("secure", address, `${SECRETS}/ca.pem`);
    assert.deepEqual([offers!.length, offers![0]], [3, "savings_easy_access"]);
  } finally {
    stop();
  }
});
