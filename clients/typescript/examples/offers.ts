// Asks for three offers as a website's server does, and reports what the customer saw.
import { connect, Outcome } from "nbo-client/node";

const client = connect(process.argv[2] ?? "http://127.0.0.1:50051", { timeoutMs: 10_000 });
const answer = await client.getOffers({ customer: "demo-000001", channel: "web", placements: [["best_offers", 3]] });
for (const { rank, offerId, priority } of answer.placements[0]!.offers) {
  console.log(rank, offerId, priority);
  await client.recordOutcome({ decisionId: answer.decisionId, offerId, outcome: Outcome.SEEN });
}
client.close();
