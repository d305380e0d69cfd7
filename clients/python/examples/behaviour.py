"""Tells that a customer searched for funds, and gets the list that follows from it in the same answer."""

import sys

import nbo

with nbo.Client(*sys.argv[1:], timeout=10.0) as client:
    search = nbo.event("search", {"category": "fund"}, channel="web")
    answer = client.record_events(
        "demo-000002", [search], offers={"channel": "call_centre", "placements": [("best_offers", 3)]}
    )
    print(f"{answer.applied} event recorded", *(offer.offer_id for offer in answer.offers.placements[0].offers))
