// What callers of a server with TLS and tokens can rely on, over gRPC-Web as browsers have it and over gRPC alike.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect as connectWeb } from "../src/index.js";
import { connect as connectNode, NodeClient } from "../src/node.js";
import { Client, Code, NboError, Outcome } from "../src/index.js";
import { NO_SECRETS, SECRETS, secret, serveSecurely } from "./served.js";

const ASKED = { customer: "demo-000003", channel: "web", placements: [["best_offers", 3]] } as const;
const PATIENCE = { timeoutMs: 15_000 };

// `fetch` trusts whom the process trusts: whoever runs this says so in NODE_EXTRA_CA_CERTS.
const kinds: [string, (address: string, token?: string) => Client][] = [
  ["gRPC-Web", (address, token) => connectWeb(address, { ...PATIENCE, ...(token && { token }) })],
  ["gRPC", (address, token) => connectNode(address, { ...PATIENCE, tls: { ca: secret("ca.pem") }, ...(token && { token }) })],
];

describe("a server with TLS and tokens", { skip: SECRETS ? false : NO_SECRETS }, () => {
  let served: Awaited<ReturnType<typeof serveSecurely>>;
  const opened: NodeClient[] = [];
  const kept = <Made extends Client>(client: Made): Made => {
    if (client instanceof NodeClient) opened.push(client);
    return client;
  };
  before(async () => {
    served = await serveSecurely();
  });
  after(() => {
    opened.forEach((client) => client.close());
    served.stop();
  });

  for (const [kind, open] of kinds) {
    it(`answers a caller with the authority and a token as far as its roles go, over ${kind}`, async () => {
      const client = kept(open(served.address, secret("website.token").trim()));
      const { decisionId, placements } = await client.getOffers(ASKED);
      const offers = placements[0]!.offers;
      assert.equal(offers.length, 3);
      const report = { decisionId, offerId: offers[0]!.offerId, outcome: Outcome.SEEN };
      assert.equal((await client.recordOutcome(report)).recorded, true);
      await assert.rejects(client.getStatus(), { code: Code.PermissionDenied });
    });

    it(`answers nobody without a token that is good, over ${kind}`, async () => {
      for (const token of [undefined, "nbo_guessed"]) {
        await assert.rejects(kept(open(served.address, token)).getOffers(ASKED), { code: Code.Unauthenticated });
      }
    });
  }

  it("is not told anything when it is of another authority", async () => {
    const tls = { ca: secret("other-ca.pem") };
    const client = kept(connectNode(served.address, { ...PATIENCE, tls, token: secret("website.token").trim() }));
    await assert.rejects(client.getOffers(ASKED), NboError);
  });
});
