// Builds the parts of requests from what programs have at hand.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  AttributeValueSchema,
  CustomerSchema,
  TextSetSchema,
  type AttributeValue,
  type Customer,
} from "./gen/nbo/v1/common_pb.js";
import { PlacementRequestSchema, type PlacementRequest } from "./gen/nbo/v1/decisions_pb.js";
import { EventSchema, type Event } from "./gen/nbo/v1/event_pb.js";

/** A customer by the bank's own id, or what `visitor` returns. */
export type Who = string | Customer;

/** A placement's id, and how many offers are wanted. */
export type Placement = readonly [placement: string, count: number];

/** The value of an attribute: a list is a set of texts, a date is the text `YYYY-MM-DD`. */
export type Value = number | boolean | string | readonly string[];

/** Attributes by name. */
export type Values = Readonly<Record<string, Value>>;

/** Something that a customer did, as callers give it. */
export interface Behaviour {
  /** What kind it is, as the catalog names it. */
  type: string;
  /** Its own id; made up when it is left out. */
  id?: string;
  /** When it happened; now when it is left out. */
  time?: Date;
  attributes?: Values;
  channel?: string;
  place?: string;
  sessionId?: string;
}

/** Returns a visitor of whom only a cookie or a device is known. */
export function visitor(anonymousId: string): Customer {
  return create(CustomerSchema, { identity: { case: "anonymousId", value: anonymousId } });
}

/** Takes text for the bank's own id. */
export function customer(who: Who): Customer {
  return typeof who === "string" ? create(CustomerSchema, { identity: { case: "id", value: who } }) : who;
}

/** Takes a plain value as the kind that is like it. */
export function value(given: Value): AttributeValue {
  return create(AttributeValueSchema, { kind: kind(given) });
}

function kind(given: Value): NonNullable<MessageInitShape<typeof AttributeValueSchema>["kind"]> {
  switch (typeof given) {
    case "number":
      return { case: "number", value: given };
    case "boolean":
      return { case: "boolean", value: given };
    case "string":
      return { case: "text", value: given };
    default:
      return { case: "set", value: create(TextSetSchema, { values: [...given] }) };
  }
}

/** Takes attributes by name. */
export function values(given: Values | undefined): Record<string, AttributeValue> {
  return Object.fromEntries(Object.entries(given ?? {}).map(([name, each]) => [name, value(each)]));
}

/** Takes pairs for placements. */
export function placements(given: readonly Placement[]): PlacementRequest[] {
  return given.map(([placement, count]) => create(PlacementRequestSchema, { placement, count }));
}

/** Takes what a customer did, and gives it an id when it has none: it keeps it through all tries. */
export function event(given: Behaviour): Event {
  const { id, time, attributes, ...rest } = given;
  return create(EventSchema, {
    ...rest,
    id: id || newId(),
    attributes: values(attributes),
    ...(time && { time: timestampFromDate(time) }),
  });
}

/** Returns an id that nobody else has. Pages without TLS have no `randomUUID`, so it is made of random bytes. */
export function newId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
