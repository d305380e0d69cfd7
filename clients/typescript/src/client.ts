// The client, over whatever transport it is given.

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { Code, createClient, type CallOptions, type Client as Of, type Transport } from "@connectrpc/connect";
import { error, NboError } from "./errors.js";
import { BehaviourService, Outcome, type RecordEventsResponse, type RecordOutcomeResponse } from "./gen/nbo/v1/behaviour_pb.js";
import type { CancelResponse } from "./gen/nbo/v1/behaviour_pb.js";
import { CatalogService, type GetCatalogResponse } from "./gen/nbo/v1/catalog_pb.js";
import { ContactService, type GetContactBudgetResponse } from "./gen/nbo/v1/contacts_pb.js";
import { DecisionService, GetOffersRequestSchema, WatchOffersRequestSchema } from "./gen/nbo/v1/decisions_pb.js";
import type { Duplicates, GetOffersRequest, GetOffersResponse, WatchOffersResponse } from "./gen/nbo/v1/decisions_pb.js";
import { OperationsService, type GetStatusResponse } from "./gen/nbo/v1/operations_pb.js";
import { ProfileService, type ConsentSchema, type GetProfileResponse } from "./gen/nbo/v1/profiles_pb.js";
import type { MergeCustomersResponse, UpsertProfileResponse } from "./gen/nbo/v1/profiles_pb.js";
import { pause, RETRY, Tries, type Retry } from "./retry.js";
import { customer, event, newId, placements, values, type Behaviour, type Placement, type Values, type Who } from "./values.js";

/** For how many milliseconds a call is waited for unless it says otherwise; all its tries together. */
const TIMEOUT_MS = 1_000;
/** For how many milliseconds a watcher without an answer tries to come back before it gives up. */
const RECONNECT_WITHIN_MS = 30_000;

/** What holds for every call of a client. */
export interface Settings {
  /** For how many milliseconds a call is waited for, all its tries together; 1,000 when it is left out. */
  timeoutMs?: number;
  /** How often and how soon a call is made again. */
  retry?: Partial<Retry>;
}

/** What holds for one call. */
export interface Options {
  timeoutMs?: number;
  signal?: AbortSignal;
}

/** What a list of offers is asked for with. */
export interface List {
  /** Where the customer is, as the catalog names its channels. */
  channel: string;
  /** The places to fill, most important first, and how many offers each takes. */
  placements: readonly Placement[];
  /** What else is known of this moment. */
  context?: Values;
  duplicates?: Duplicates;
  explain?: boolean;
  omitContent?: boolean;
}

/** What offers are asked for with. */
export interface Offers extends List {
  /** Who they are for; left out for a visitor without any id. */
  customer?: Who;
  /** Events to record before deciding. */
  events?: readonly Behaviour[];
  /** Whether only to look: nothing is reserved and nothing recorded. */
  preview?: boolean;
  campaign?: string;
  /** Names the call, so that a repeat reserves nothing twice; made up when it is left out. */
  requestId?: string;
}

/** What is written of a customer. */
export interface Profile {
  attributes?: Values;
  cleared?: string[];
  replace?: boolean;
  channelOptOuts?: Record<string, boolean>;
  optOutOfAll?: boolean;
  consents?: MessageInitShape<typeof ConsentSchema>[];
  afterErasure?: boolean;
}

/** What became of one decided offer. */
export interface Report {
  decisionId: string;
  offerId: string;
  outcome: Outcome;
  time?: Date;
  placement?: string;
}

/** Asks one server. Calls that may be repeated are, and have their ids filled in. */
export class Client {
  /** The services as they are, for what has no method here: nothing is repeated or filled in. */
  readonly decisions: Of<typeof DecisionService>;
  readonly behaviour: Of<typeof BehaviourService>;
  readonly profiles: Of<typeof ProfileService>;
  readonly contacts: Of<typeof ContactService>;
  readonly catalogs: Of<typeof CatalogService>;
  readonly operations: Of<typeof OperationsService>;
  readonly #timeoutMs: number;
  readonly #retry: Retry;

  constructor(transport: Transport, settings: Settings = {}) {
    this.decisions = createClient(DecisionService, transport);
    this.behaviour = createClient(BehaviourService, transport);
    this.profiles = createClient(ProfileService, transport);
    this.contacts = createClient(ContactService, transport);
    this.catalogs = createClient(CatalogService, transport);
    this.operations = createClient(OperationsService, transport);
    this.#timeoutMs = settings.timeoutMs ?? TIMEOUT_MS;
    this.#retry = { ...RETRY, ...settings.retry };
  }

  /** Decides the offers for a customer, and reserves them unless `preview` is set. */
  getOffers(asked: Offers, options?: Options): Promise<GetOffersResponse> {
    const request = offersRequest(asked);
    return this.#repeat(options, (call) => this.decisions.getOffers(request, call));
  }

  /** Records events of one customer, all or none; with `offers` the answer has the list that follows from them. */
  recordEvents(who: Who, events: readonly Behaviour[], offers?: List, options?: Options): Promise<RecordEventsResponse> {
    const list = offers && offersRequest({ ...offers, customer: who });
    delete list?.customer;
    const request = { customer: customer(who), events: events.map(event), ...(list && { offers: list }) };
    return this.#repeat(options, (call) => this.behaviour.recordEvents(request, call));
  }

  /** Records what became of one decided offer; of each the first report stands, so it is repeatable. */
  recordOutcome({ time, ...report }: Report, options?: Options): Promise<RecordOutcomeResponse> {
    const request = { ...report, ...(time && { time: timestampFromDate(time) }) };
    return this.#repeat(options, (call) => this.behaviour.recordOutcome(request, call));
  }

  /** Releases what a decision reserved. A repeat would answer that nothing was, so it is left to the caller. */
  cancel(decisionId: string, offerId = "", placement = "", options?: Options): Promise<CancelResponse> {
    return this.#once(options, (call) => this.behaviour.cancel({ decisionId, offerId, placement }, call));
  }

  /** Writes attributes and consent. A repeat could undo what somebody else wrote in between. */
  upsertProfile(who: Who, written: Profile, options?: Options): Promise<UpsertProfileResponse> {
    const request = { ...written, customer: customer(who), attributes: values(written.attributes) };
    return this.#once(options, (call) => this.profiles.upsertProfile(request, call));
  }

  /** Returns all that is known of one customer; throws `Code.NotFound` when nothing is. */
  getProfile(who: Who, options?: Options): Promise<GetProfileResponse> {
    return this.#repeat(options, (call) => this.profiles.getProfile({ customer: customer(who) }, call));
  }

  /** Joins a visitor to a customer, as when somebody logs in. */
  mergeCustomers(visitor: Who, who: Who, options?: Options): Promise<MergeCustomersResponse> {
    const request = { visitor: customer(visitor), customer: customer(who) };
    return this.#once(options, (call) => this.profiles.mergeCustomers(request, call));
  }

  /** Returns what contact limits leave for one customer. */
  getContactBudget(who: Who, channel = "", options?: Options): Promise<GetContactBudgetResponse> {
    return this.#repeat(options, (call) => this.contacts.getContactBudget({ customer: customer(who), channel }, call));
  }

  /** Returns the catalog in force. */
  getCatalog(asked: { includeOffers?: boolean; includeSchema?: boolean } = {}, options?: Options): Promise<GetCatalogResponse> {
    return this.#repeat(options, (call) => this.catalogs.getCatalog(asked, call));
  }

  /** Returns how the server is. */
  getStatus(options?: Options): Promise<GetStatusResponse> {
    return this.#repeat(options, (call) => this.operations.getStatus({}, call));
  }

  /**
   * Returns the customer's list, now and whenever it may have changed, until the loop is left or the signal given.
   *
   * When the server goes away it comes back by itself, with a whole list; it throws what is wrong when that took longer
   * than `reconnectWithinMs`, 30 seconds when it is left out.
   */
  async *watchOffers(
    who: Who,
    asked: List,
    options: { signal?: AbortSignal; reconnectWithinMs?: number } = {},
  ): AsyncGenerator<WatchOffersResponse, void, undefined> {
    const { signal } = options;
    const request = create(WatchOffersRequestSchema, { ...list(asked), customer: customer(who) });
    // As many tries as there is time for.
    const patience = options.reconnectWithinMs ?? RECONNECT_WITHIN_MS;
    const tries = new Tries({ ...this.#retry, tries: Infinity }, patience);
    while (!signal?.aborted) {
      let heard = false;
      let fault = new NboError(Code.Unavailable, "the server ended the list");
      try {
        for await (const answer of this.decisions.watchOffers(request, signal ? { signal } : {})) {
          heard = true;
          yield answer;
        }
      } catch (thrown) {
        fault = error(thrown, signal);
      }
      if (signal?.aborted) {
        return;
      }
      if (heard) {
        // Patience begins anew with each break, however long ago the last list came.
        tries.begin();
      }
      const wait = tries.waitAfter(fault);
      if (wait === undefined) {
        throw fault;
      }
      await pause(wait, signal).catch(() => undefined);
    }
  }

  /** Makes a call once. */
  async #once<Answer>(options: Options | undefined, ask: (call: CallOptions) => Promise<Answer>): Promise<Answer> {
    try {
      return await ask({ timeoutMs: this.#timeoutMs, ...options });
    } catch (thrown) {
      throw error(thrown, options?.signal);
    }
  }

  /** Makes a call, and makes it again while that may help; only for calls whose repetition changes nothing. */
  async #repeat<Answer>(options: Options | undefined, ask: (call: CallOptions) => Promise<Answer>): Promise<Answer> {
    const tries = new Tries(this.#retry, options?.timeoutMs ?? this.#timeoutMs);
    for (;;) {
      try {
        return await ask({ ...options, timeoutMs: Math.max(1, Math.ceil(tries.leftMs())) });
      } catch (thrown) {
        const fault = error(thrown, options?.signal);
        const wait = tries.waitAfter(fault);
        if (wait === undefined) {
          throw fault;
        }
        await pause(wait, options?.signal);
      }
    }
  }
}

function list({ channel, placements: given, context, ...rest }: List) {
  return { ...rest, channel, placements: placements(given), context: values(context) };
}

/** Builds a request, with an id of its own unless it only looks or nobody is known. */
function offersRequest(asked: Offers): GetOffersRequest {
  const { customer: who, events, requestId, ...rest } = asked;
  const needsId = who !== undefined && !rest.preview;
  return create(GetOffersRequestSchema, {
    ...rest,
    ...list(rest),
    ...(who !== undefined && { customer: customer(who) }),
    events: (events ?? []).map(event),
    requestId: requestId || (needsId ? newId() : ""),
  });
}
