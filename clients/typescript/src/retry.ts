// When a call is made again.
//
// Only calls whose repetition changes nothing are, and only when the server could not be reached or was going down
// (Unavailable), or refused for want of room and said when to come back (ResourceExhausted with `google.rpc.RetryInfo`;
// without it the want does not pass by itself). The deadline holds for all tries together.

import { Code } from "@connectrpc/connect";
import type { NboError } from "./errors.js";

/** How often and how soon a call is made again. */
export interface Retry {
  /** The most tries of one call, the first included; 1 never repeats. */
  tries: number;
  /** About how many milliseconds pass before the second try; each later wait is twice as long. */
  firstWaitMs: number;
  /** The longest wait, in milliseconds, unless the server asks for a longer one. */
  longestWaitMs: number;
}

export const RETRY: Retry = { tries: 4, firstWaitMs: 50, longestWaitMs: 2_000 };

/** The tries of one call. */
export class Tries {
  #failed = 0;
  #until = 0;

  constructor(
    private readonly retry: Retry,
    private readonly withinMs: number,
  ) {
    this.begin();
  }

  /** Starts over, as after a list that came. */
  begin(): void {
    this.#failed = 0;
    this.#until = performance.now() + this.withinMs;
  }

  /** How many milliseconds are left until the deadline. */
  leftMs(): number {
    return Math.max(0, this.#until - performance.now());
  }

  /** How many milliseconds to wait before the next try; `undefined` when there is none. */
  waitAfter(fault: NboError): number | undefined {
    this.#failed += 1;
    const asked = fault.retryAfterMs;
    const passes = fault.code === Code.Unavailable || (fault.code === Code.ResourceExhausted && asked !== undefined);
    if (!passes || this.#failed >= this.retry.tries) {
      return undefined;
    }
    // Half of each wait is left to chance, so that those who were refused together do not come back together.
    const doubled = this.retry.firstWaitMs * 2 ** Math.min(this.#failed - 1, 30);
    const wait = Math.min(doubled, this.retry.longestWaitMs) * (0.5 + Math.random() / 2) + (asked ?? 0);
    return wait < this.leftMs() ? wait : undefined;
  }
}

/** Waits, or rejects when the signal is given. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) {
      stop();
    } else {
      signal?.addEventListener("abort", stop, { once: true });
    }
  });
}
