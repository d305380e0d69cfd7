// What callers can rely on, over gRPC-Web as browsers have it and over gRPC alike.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { ConnectError } from "@connectrpc/connect";
import { error } from "../src/errors.js";
import { connect as connectWeb } from "../src/index.js";
import { connect as connectNode } from "../src/node.js";
import { Client, Code, NboError, Outcome, visitor, WatchCause, type Offers, type Settings } from "../src/index.js";
import { Road, serve } from "./served.js";

const THREE = { channel: "web", placements: [["best_offers", 3]] } as const;

type Connect = (address: string, options: Settings & { token?: string; interceptors?: [Road["interceptor"]] }) => Client;

/** Expects that a call fails with a code, and returns how. */
async function fails(call: Promise<unknown>, code: Code): Promise<NboError> {
  const fault = await call.then(
    () => assert.fail("it was answered"),
    (thrown: unknown) => thrown,
  );
  assert.ok(fault instanceof NboError, String(fault));
  assert.equal(fault.code, code, fault.message);
  return fault;
}

const kinds: [string, Connect][] = [
  ["gRPC-Web", connectWeb],
  ["gRPC", connectNode],
];
for (const [kind, connect] of kinds) {
  describe(`over ${kind}`, () => {
    let served: Awaited<ReturnType<typeof serve>>;
    let road: Road;
    let client: Client;
    let somebody = "";
    const opened: Client[] = [];

    const open = (options: Settings & { token?: string } = {}) => {
      const made = connect(served.address, { timeoutMs: 15_000, interceptors: [road.interceptor], ...options });
      opened.push(made);
      return made;
    };
    const ask = (more: Partial<Offers> = {}) => client.getOffers({ customer: somebody, ...THREE, ...more });
    const contacts = async () => (await client.getProfile(somebody)).contacts.length;

    before(async () => {
      served = await serve();
    });
    after(() => {
      for (const each of opened) {
        if ("close" in each) {
          (each as Client & { close(): void }).close();
        }
      }
      served.stop();
    });
    beforeEach(async () => {
      road = new Road();
      client = open();
      somebody = `client-${crypto.randomUUID()}`;
      await client.upsertProfile(somebody, { attributes: { age: 40 } });
      road.calls = [];
    });

    it("offers come reserved and best first", async () => {
      const answer = await ask();
      const offers = answer.placements[0]!.offers;
      assert.deepEqual(
        offers.map((offer) => offer.rank),
        [1, 2, 3],
      );
      assert.equal(answer.decisionId.length, 40);
      assert.equal(await contacts(), 3);
    });

    it("a preview reserves nothing", async () => {
      assert.equal((await ask({ preview: true })).decisionId, "");
      assert.equal(await contacts(), 0);
    });

    it("every wrong field is named", async () => {
      const fault = await fails(ask({ channel: "wbe", placements: [["best_offers", 30]] }), Code.InvalidArgument);
      assert.deepEqual(
        fault.violations.map(({ field }) => field),
        ["channel", "placements[0].count"],
      );
      assert.match(fault.violations[0]!.description, /did you mean `web`\?/);
    });

    it("a lost answer is asked for again and reserves once", async () => {
      road.faults = ["lost", "lost"];
      assert.equal((await ask()).replayed, true);
      assert.equal(await contacts(), 3);
    });

    it("events whose answer was lost count once", async () => {
      road.faults = ["lost"];
      const answer = await client.recordEvents(somebody, [{ type: "search", attributes: { category: "fund" } }], THREE);
      assert.deepEqual([answer.applied, answer.duplicates, answer.offers!.replayed], [0, 1, true]);
      assert.equal(answer.offers!.placements[0]!.offers[0]!.group, "fund");
      assert.equal(await contacts(), 3);
    });

    it("an outcome whose answer was lost is recorded once", async () => {
      const { decisionId, placements } = await ask();
      road.faults = ["lost"];
      const offerId = placements[0]!.offers[0]!.offerId;
      assert.equal((await client.recordOutcome({ decisionId, offerId, outcome: Outcome.SEEN })).recorded, false);
    });

    it("what a repeat could change is called once", async () => {
      const { decisionId } = await ask();
      const calls = [
        () => client.cancel(decisionId),
        () => client.upsertProfile(somebody, { attributes: { age: 41 } }),
        () => client.mergeCustomers(visitor(`visitor-${somebody}`), somebody),
      ];
      for (const call of calls) {
        road.calls = [];
        road.faults = ["lost"];
        await fails(call(), Code.Unavailable);
        assert.equal(road.calls.length, 1);
      }
    });

    it("it comes back when the server says that there is room, and only then", async () => {
      road.faults = [{ refused: 300 }];
      await ask();
      assert.ok(road.calls[1]!.at - road.calls[0]!.at >= 299);
      road.calls = [];
      road.faults = [{ refused: undefined }];
      await fails(ask(), Code.ResourceExhausted);
      road.faults = [{ refused: 60_000 }];
      assert.equal((await fails(ask(), Code.ResourceExhausted)).retryAfterMs, 60_000);
      assert.equal(road.calls.length, 2);
    });

    it("it gives up after as many tries as it was told", async () => {
      client = open({ retry: { tries: 3, firstWaitMs: 10 } });
      road.faults = ["lost", "lost", "lost"];
      await fails(ask(), Code.Unavailable);
      assert.equal(road.calls.length, 3);
    });

    it("a token goes along with each call", async () => {
      client = open({ token: "secret" });
      await client.getStatus();
      assert.equal(road.calls.at(-1)!.authorization, "Bearer secret");
    });

    it("a token is not sent over a network in the clear", () => {
      assert.throws(() => connect("http://offers.bank.example", { token: "secret" }), /in the clear/);
    });

    it("a watched list moves when the customer does", async () => {
      const lists = client.watchOffers(somebody, { ...THREE, channel: "call_centre" });
      const first = (await lists.next()).value!;
      assert.equal(first.cause, WatchCause.STARTED);
      await client.recordEvents(somebody, [{ type: "search", attributes: { category: "fund" } }]);
      const moved = (await lists.next()).value!;
      assert.deepEqual([moved.cause, moved.offers!.placements[0]!.offers[0]!.group], [WatchCause.CUSTOMER_CHANGED, "fund"]);
      await lists.return();
    });

    it("a watch that broke off comes back by itself with a whole list", async () => {
      road.faults = ["broken"];
      const lists = client.watchOffers(somebody, { ...THREE, channel: "call_centre" });
      for (const cause of [WatchCause.STARTED, WatchCause.STARTED]) {
        const { value } = await lists.next();
        assert.deepEqual([value!.cause, value!.offers!.placements[0]!.offers.length], [cause, 3]);
      }
      assert.equal(road.calls.length, 2);
      await lists.return();
    });

    it("a watch ends when its signal is given", async () => {
      const stop = new AbortController();
      const lists = client.watchOffers(somebody, { ...THREE, channel: "call_centre" }, { signal: stop.signal });
      await lists.next();
      const waiting = lists.next();
      stop.abort();
      assert.equal((await waiting).done, true);
    });

    it("reads reach the server", async () => {
      assert.equal((await client.getCatalog({ includeOffers: true })).offers.length, 104);
      assert.ok((await client.getContactBudget(somebody, "web")).limits.length > 0);
      await fails(client.getProfile("nobody"), Code.NotFound);
    });
  });
}

describe("a server that went away", () => {
  it("is told apart from a server that has aborted the call, though a reset connection is aborted as well", () => {
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    assert.equal(error(new ConnectError(reset.message, Code.Aborted, undefined, undefined, reset)).code, Code.Unavailable);
    assert.equal(error(new ConnectError("the answer is no longer kept", Code.Aborted)).code, Code.Aborted);
  });

  it("is told as that", async () => {
    const served = await serve();
    const web = connectWeb(served.address);
    const node = connectNode(served.address);
    const lists = node.watchOffers("demo-000001", THREE, { reconnectWithinMs: 300 });
    await lists.next();
    served.stop();
    await fails(lists.next(), Code.Unavailable);
    await fails(node.getStatus(), Code.Unavailable);
    await fails(web.getStatus(), Code.Unavailable);
    node.close();
  });
});
