// Asks NBO, the next-best-offer engine, for offers, and tells it what customers do. This entry is for browsers, and for
// whatever else has `fetch`: it speaks gRPC-Web. `nbo-client/node` speaks gRPC.

import { createGrpcWebTransport } from "@connectrpc/connect-web";
import type { Interceptor } from "@connectrpc/connect";
import { Client, type Settings } from "./client.js";

/**
 * Returns a client that speaks gRPC-Web through `fetch`.
 *
 * `address` is as in `https://offers.bank.example`. Pages of another origin have to be named to the server
 * (`--cors-origin`). `token` proves who calls; a page's visitors can read it.
 */
export function connect(address: string, options: Settings & { token?: string; interceptors?: Interceptor[] } = {}): Client {
  const { token, interceptors = [], ...settings } = options;
  const shown = token === undefined ? [] : [bearer(address, token)];
  const transport = createGrpcWebTransport({ baseUrl: address, interceptors: [...shown, ...interceptors] });
  return new Client(transport, settings);
}

/** Sends a token along with each call, over TLS or to this machine only. */
export function bearer(address: string, token: string): Interceptor {
  const { protocol, hostname } = new URL(address);
  const loopback = hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
  if (protocol !== "https:" && !loopback) {
    throw new TypeError(`a token for ${address} would be sent in the clear; use https`);
  }
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}

export { Code } from "@connectrpc/connect";
export { Client, type List, type Offers, type Options, type Profile, type Report, type Settings } from "./client.js";
export { NboError, type FieldViolation } from "./errors.js";
export type { Retry } from "./retry.js";
export { value, visitor, type Behaviour, type Placement, type Value, type Values, type Who } from "./values.js";
export * from "./gen/nbo/v1/behaviour_pb.js";
export * from "./gen/nbo/v1/catalog_pb.js";
export * from "./gen/nbo/v1/common_pb.js";
export * from "./gen/nbo/v1/contacts_pb.js";
export * from "./gen/nbo/v1/decisions_pb.js";
export * from "./gen/nbo/v1/event_pb.js";
export * from "./gen/nbo/v1/operations_pb.js";
export * from "./gen/nbo/v1/profiles_pb.js";
