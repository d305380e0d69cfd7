// The same for Node: gRPC over HTTP/2, one connection for all calls, with TLS of one's own.

import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { Interceptor } from "@connectrpc/connect";
import type { SecureContextOptions } from "node:tls";
import { Client, type Settings } from "./client.js";
import { bearer } from "./index.js";

export interface NodeOptions extends Settings {
  /** Proves who calls; sent over TLS or to this machine only. */
  token?: string;
  /** Whom to trust, and what to show to a server that asks: PEM. */
  tls?: Pick<SecureContextOptions, "ca" | "cert" | "key">;
  interceptors?: Interceptor[];
}

/** A client that holds a connection. */
export class NodeClient extends Client {
  readonly #session: Http2SessionManager;

  /** `address` is as in `https://offers.bank.example` or `http://127.0.0.1:50051`. */
  constructor(address: string, options: NodeOptions = {}) {
    const { token, tls, interceptors = [], ...settings } = options;
    // A watcher hears nothing for hours; the ping is how it notices that the other side is gone.
    const session = new Http2SessionManager(address, { pingIntervalMs: 30_000, pingTimeoutMs: 10_000 }, { ...tls });
    const shown = token === undefined ? [] : [bearer(address, token)];
    super(
      createGrpcTransport({ baseUrl: address, sessionManager: session, interceptors: [...shown, ...interceptors] }),
      settings,
    );
    this.#session = session;
  }

  /** Ends the connection. */
  close(): void {
    this.#session.abort();
  }
}

/** Returns a client that speaks gRPC. */
export function connect(address: string, options: NodeOptions = {}): NodeClient {
  return new NodeClient(address, options);
}

export * from "./index.js";
