// What a page does in a browser: tells what the visitor looks at, and shows the list that follows from it.
import { connect } from "nbo-client";

const client = connect(process.argv[2] ?? "http://127.0.0.1:50051", { timeoutMs: 10_000 });
const answer = await client.recordEvents("demo-000002", [{ type: "search", attributes: { category: "fund" } }], {
  channel: "web",
  placements: [["best_offers", 3]],
});
console.log(answer.applied, "event recorded", ...answer.offers!.placements[0]!.offers.map((offer) => offer.offerId));
