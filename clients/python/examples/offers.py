"""Asks for three offers as a website does, and reports what the customer saw."""

import sys

import nbo

with nbo.Client(*sys.argv[1:], timeout=10.0) as client:
    answer = client.get_offers(customer="demo-000001", channel="web", placements=[("best_offers", 3)])
    for offer in answer.placements[0].offers:
        print(offer.rank, offer.offer_id, offer.priority)
        client.record_outcome(answer.decision_id, offer.offer_id, nbo.OUTCOME_SEEN)
