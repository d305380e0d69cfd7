// A real server for the tests, and faults on the way to it.

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { RetryInfoSchema } from "../src/gen/nbo/client/details_pb.js";

const ROOT = resolve(fileURLToPath(import.meta.url), "../../../../..");

/** The folder with certificates, keys and tokens for a server with TLS. */
export const SECRETS = process.env["NBO_TEST_SECRETS"];
export const NO_SECRETS = "NBO_TEST_SECRETS is not set; `cargo test --test it clients` makes what is needed";

/** What stands in a file of that folder. */
export function secret(name: string): string {
  return readFileSync(resolve(SECRETS ?? "", name), "utf8");
}

/** Starts a server with TLS that wants to know its callers. */
export function serveSecurely(): ReturnType<typeof serve> {
  const [cert, key, tokens] = ["cert.pem", "key.pem", "tokens"].map((name) => resolve(SECRETS ?? "", name));
  return serve("--tls-cert", cert!, "--tls-key", key!, "--tokens", tokens!);
}

/** Starts `nbo serve` with the built-in bank: the program of NBO_BIN, or the one that cargo builds. */
export async function serve(...more: string[]): Promise<{ address: string; stop: () => void }> {
  const program = process.env["NBO_BIN"] ?? built();
  const given = ["serve", "--listen", "127.0.0.1:0", "--durability", "none", "--customers", "100", ...more];
  const server: ChildProcess = spawn(program, given, { stdio: ["ignore", "pipe", "ignore"] });
  const stop = () => server.kill("SIGKILL");
  process.on("exit", stop);
  for await (const line of createInterface({ input: server.stdout! })) {
    const found = /^\s*listening\s+([^,\s]+)/.exec(line);
    if (found) {
      server.stdout!.resume();
      return { address: found[1]!, stop };
    }
  }
  throw new Error("the server ended before it listened");
}

function built(): string {
  spawnSync("cargo", ["build", "--bin", "nbo"], { cwd: ROOT, stdio: "inherit" });
  return resolve(process.env["CARGO_TARGET_DIR"] ?? resolve(ROOT, "target"), "debug/nbo");
}

/** What happens to a call on the way. */
export type Fault = "lost" | "broken" | { refused: number | undefined };

/** Passes calls on, but lets what `faults` holds happen to the next ones; notes when each was made. */
export class Road {
  faults: Fault[] = [];
  calls: { at: number; authorization: string | null }[] = [];

  readonly interceptor: Interceptor = (next) => async (request) => {
    this.calls.push({ at: performance.now(), authorization: request.header.get("authorization") });
    const fault = this.faults.shift();
    if (fault === "lost") {
      // The server did what it was asked for, and the answer is lost.
      await next(request);
      throw new ConnectError("the answer was lost", Code.Unavailable);
    }
    if (fault === "broken") {
      const answer = await next(request);
      return answer.stream ? { ...answer, message: first(answer.message) } : answer;
    }
    if (fault) {
      throw refusal(fault.refused);
    }
    return next(request);
  };
}

async function* first<Message>(messages: AsyncIterable<Message>): AsyncGenerator<Message> {
  for await (const message of messages) {
    yield message;
    break;
  }
  throw new ConnectError("it broke off", Code.Unavailable);
}

function refusal(afterMs: number | undefined): ConnectError {
  const refused = new ConnectError("too many calls", Code.ResourceExhausted);
  if (afterMs !== undefined) {
    const info = create(RetryInfoSchema, {
      retryDelay: { seconds: BigInt(Math.floor(afterMs / 1_000)), nanos: (afterMs % 1_000) * 1e6 },
    });
    refused.details = [{ type: "google.rpc.RetryInfo", value: toBinary(RetryInfoSchema, info) }];
  }
  return refused;
}
