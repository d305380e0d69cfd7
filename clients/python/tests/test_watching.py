"""What those can rely on who watch a list."""

import asyncio
import threading
import unittest
import uuid

import served

import nbo
from nbo import v1

THREE: dict[str, object] = {"channel": "call_centre", "placements": [("best_offers", 3)]}


def first(answer: v1.WatchOffersResponse) -> str:
    """The group of the best offer."""
    return answer.offers.placements[0].offers[0].group


class Watching(unittest.TestCase):
    """The client that waits."""

    def setUp(self) -> None:
        self.relay = served.Relay()
        self.addCleanup(self.relay.close)
        self.client = nbo.Client(self.relay.address, timeout=15.0)
        self.addCleanup(self.client.close)
        self.customer = f"watched-{uuid.uuid4()}"
        self.client.upsert_profile(self.customer, attributes={"age": 40})

    def search(self) -> None:
        self.client.record_events(self.customer, [nbo.event("search", {"category": "fund"})])

    def watch(self, reconnect_within: float = 5.0) -> nbo.Watch:
        return self.client.watch_offers(
            self.customer, channel="call_centre", placements=[("best_offers", 3)], reconnect_within=reconnect_within
        )

    def test_the_list_moves_when_the_customer_does(self) -> None:
        with self.watch() as lists:
            self.assertEqual(next(lists).cause, v1.WATCH_CAUSE_STARTED)
            self.search()
            moved = next(lists)
            self.assertEqual((moved.cause, first(moved)), (v1.WATCH_CAUSE_CUSTOMER_CHANGED, "fund"))

    def test_it_comes_back_by_itself_with_what_it_missed(self) -> None:
        with self.watch() as lists:
            next(lists)
            self.relay.streams[0].cancel()
            self.search()
            answers = [next(lists)]
            while first(answers[-1]) != "fund":
                answers.append(next(lists))
            self.assertEqual(len(self.relay.streams), 2)

    def test_it_says_so_when_the_server_stays_away(self) -> None:
        with self.watch(reconnect_within=0.3) as lists:
            next(lists)
            self.relay.close()
            with self.assertRaises(nbo.Unavailable):
                next(lists)

    def test_a_wrong_request_is_not_tried_again(self) -> None:
        with self.client.watch_offers(self.customer, channel="wbe", placements=[("best_offers", 3)]) as lists:
            with self.assertRaises(nbo.InvalidRequest):
                next(lists)
        self.assertEqual(len(self.relay.streams), 1)

    def test_another_thread_can_end_it(self) -> None:
        lists = self.watch()
        next(lists)
        waiting = threading.Thread(target=lists.close)
        waiting.start()
        self.assertEqual(list(lists), [])
        waiting.join()

    def test_the_same_holds_in_an_event_loop(self) -> None:
        async def watch() -> None:
            async with nbo.AsyncClient(self.relay.address, timeout=15.0) as client:
                lists = client.watch_offers(self.customer, channel="call_centre", placements=[("best_offers", 3)])
                await anext(lists)
                self.relay.streams[0].cancel()
                await client.record_events(self.customer, [nbo.event("search", {"category": "fund"})])
                async for answer in lists:
                    if first(answer) == "fund":
                        break
                self.assertEqual(len(self.relay.streams), 2)
                ended = asyncio.create_task(anext(lists, None))
                await asyncio.sleep(0)
                await lists.close()
                self.assertIsNone(await ended)

        asyncio.run(watch())


if __name__ == "__main__":
    unittest.main()
