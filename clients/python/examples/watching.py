"""Shows a customer's list as a call-centre screen does, while the customer searches; stops when the list has moved."""

import asyncio
import sys

import nbo


async def main() -> None:
    async with nbo.AsyncClient(*sys.argv[1:], timeout=10.0) as client:
        lists = client.watch_offers("demo-000004", channel="call_centre", placements=[("best_offers", 3)])
        print("now  ", *(offer.offer_id for offer in (await anext(lists)).offers.placements[0].offers))
        await client.record_events("demo-000004", [nbo.event("search", {"category": "fund"})])
        print("then ", *(offer.offer_id for offer in (await anext(lists)).offers.placements[0].offers))
        await lists.close()


asyncio.run(main())
