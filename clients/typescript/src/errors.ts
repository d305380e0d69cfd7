// What a refused or failed call throws.

import { fromBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, RetryInfoSchema } from "./gen/nbo/client/details_pb.js";

/** One wrong field of a request. */
export interface FieldViolation {
  /** Its path, as in `placements[0].count`. */
  field: string;
  /** The value that was given, and what is allowed. */
  description: string;
}

/** A call that was refused or that failed. */
export class NboError extends Error {
  override readonly name = "NboError";

  constructor(
    /** The status, as in `Code.NotFound`. */
    readonly code: Code,
    message: string,
    /** Each field that is wrong; empty when it is not about a field. */
    readonly violations: readonly FieldViolation[] = [],
    /** After how many milliseconds the server asks to try again, if it says so. */
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Returns what to throw for whatever a call threw; `signal` is that of the caller. */
export function error(thrown: unknown, signal?: AbortSignal): NboError {
  const failure = ConnectError.from(thrown);
  let violations: FieldViolation[] = [];
  let retryAfterMs: number | undefined;
  for (const detail of failure.details) {
    if (!("type" in detail)) {
      continue;
    }
    const { type, value } = detail;
    if (type === "google.rpc.BadRequest") {
      const wrong = fromBinary(BadRequestSchema, value).fieldViolations;
      violations = wrong.map(({ field, description }) => ({ field, description }));
    } else if (type === "google.rpc.RetryInfo") {
      const delay = fromBinary(RetryInfoSchema, value).retryDelay;
      retryAfterMs = delay && Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
    }
  }
  return new NboError(code(failure, signal), failure.rawMessage, violations, retryAfterMs, { cause: thrown });
}

/**
 * A server that cannot be reached has no status. Of `fetch` it is a TypeError, and of HTTP/2 a stream that was cancelled
 * although the caller did not, or one that a connection took with it when it was reset: then there is a cause, which a
 * server's own word has not.
 */
function code(failure: ConnectError, signal: AbortSignal | undefined): Code {
  const unreachable =
    (failure.code === Code.Unknown && failure.cause instanceof TypeError) ||
    (failure.code === Code.Canceled && !signal?.aborted) ||
    (failure.code === Code.Aborted && failure.cause !== undefined);
  return unreachable ? Code.Unavailable : failure.code;
}
