"""Asks a server over TLS that wants to know who calls: trusts the authority of a file, and shows the token of NBO_TOKEN."""

import os
import sys
from pathlib import Path

import nbo

address, ca = sys.argv[1:]
with nbo.Client(address, ca=Path(ca).read_bytes(), token=os.environ["NBO_TOKEN"], timeout=10.0) as client:
    answer = client.get_offers(customer="demo-000001", channel="web", placements=[("best_offers", 3)])
    print(*(offer.offer_id for offer in answer.placements[0].offers))
