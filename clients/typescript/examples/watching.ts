// Shows a customer's list as a call-centre screen does, while the customer searches; stops when the list has moved.
import { connect } from "nbo-client/node";

const client = connect(process.argv[2] ?? "http://127.0.0.1:50051", { timeoutMs: 10_000 });
const asked = { channel: "call_centre", placements: [["best_offers", 3]] } as const;
for await (const { cause, offers } of client.watchOffers("demo-000004", asked)) {
  console.log(cause, ...offers!.placements[0]!.offers.map((offer) => offer.offerId));
  if (cause > 1) break;
  await client.recordEvents("demo-000004", [{ type: "search", attributes: { category: "fund" } }]);
}
client.close();
