// Asks a server over TLS that wants to know who calls: trusts the authority of a file, and shows the token of NBO_TOKEN.
import { readFileSync } from "node:fs";
import { connect } from "nbo-client/node";

const [address, ca] = process.argv.slice(2) as [string, string];
const token = process.env["NBO_TOKEN"]!;
const client = connect(address, { tls: { ca: readFileSync(ca) }, token, timeoutMs: 10_000 });
const answer = await client.getOffers({ customer: "demo-000001", channel: "web", placements: [["best_offers", 3]] });
console.log(...answer.placements[0]!.offers.map((offer) => offer.offerId));
client.close();
