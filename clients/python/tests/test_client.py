"""What callers can rely on, of the client that waits and of the one for an event loop alike."""

import asyncio
import json
import time
import unittest
import uuid
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any

import grpc
import served

import nbo
from nbo import v1

THREE = {"channel": "web", "placements": [("best_offers", 3)]}


class InLoop:
    """Makes an `AsyncClient` wait, so that one test can ask either."""

    def __init__(self, address: str, **options: Any) -> None:
        self._runner = asyncio.Runner()
        self._client = self._runner.run(self._made(address, options))

    @staticmethod
    async def _made(address: str, options: dict[str, Any]) -> nbo.AsyncClient:
        return nbo.AsyncClient(address, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *given, **named: self._runner.run(method(*given, **named))

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


class Contract:
    """The tests, for each client once."""

    class Tests(unittest.TestCase):
        connect: Callable[..., Any]

        def setUp(self) -> None:
            self.relay = served.Relay()
            self.addCleanup(self.relay.close)
            self.client = self.open()
            # Somebody nobody else asks about.
            self.customer = f"client-{uuid.uuid4()}"
            self.client.upsert_profile(self.customer, attributes={"age": 40})
            self.relay.calls.clear()

        def open(self, **options: Any) -> Any:
            client = type(self).connect(self.relay.address, timeout=15.0, **options)
            self.addCleanup(client.close)
            return client

        def ask(self, **options: Any) -> v1.GetOffersResponse:
            answer: v1.GetOffersResponse = self.client.get_offers(customer=self.customer, **{**THREE, **options})
            return answer

        def contacts(self) -> int:
            return len(self.client.get_profile(self.customer).contacts)

        def test_offers_come_reserved_and_best_first(self) -> None:
            answer = self.ask()
            offers = answer.placements[0].offers
            self.assertEqual([offer.rank for offer in offers], [1, 2, 3])
            self.assertEqual(sorted(offers, key=lambda offer: -offer.priority), list(offers))
            self.assertEqual((len(answer.decision_id), self.contacts()), (40, 3))

        def test_a_preview_reserves_nothing(self) -> None:
            self.assertEqual(self.ask(preview=True).decision_id, "")
            self.assertEqual(self.contacts(), 0)

        def test_every_wrong_field_is_named(self) -> None:
            with self.assertRaises(nbo.InvalidRequest) as raised:
                self.ask(channel="wbe", placements=[("best_offers", 30)])
            wrong = {violation.field: violation.description for violation in raised.exception.violations}
            self.assertEqual(list(wrong), ["channel", "placements[0].count"])
            self.assertIn("did you mean `web`?", wrong["channel"])

        def test_a_lost_answer_is_asked_for_again_and_reserves_once(self) -> None:
            self.relay.faults = [served.lost, served.lost]
            answer = self.ask()
            self.assertEqual((answer.replayed, self.contacts()), (True, 3))

        def test_two_calls_are_two_decisions(self) -> None:
            self.assertNotEqual(self.ask().decision_id, self.ask().decision_id)

        def test_a_request_id_of_the_callers_own_is_kept(self) -> None:
            first, again = self.ask(request_id="mine"), self.ask(request_id="mine")
            self.assertEqual((first.decision_id, again.replayed), (again.decision_id, True))
            with self.assertRaises(nbo.AlreadyExists):
                self.ask(request_id="mine", explain=True)

        def test_events_whose_answer_was_lost_count_once(self) -> None:
            self.relay.faults = [served.lost]
            # An event without an id gets one, and keeps it through all tries.
            answer = self.client.record_events(self.customer, [v1.Event(type="page_view")], offers=THREE)
            self.assertEqual((answer.applied, answer.duplicates), (0, 1))
            self.assertEqual((answer.offers.replayed, self.contacts()), (True, 3))

        def test_an_outcome_whose_answer_was_lost_is_recorded_once(self) -> None:
            answer = self.ask()
            self.relay.faults = [served.lost]
            offer = answer.placements[0].offers[0].offer_id
            self.assertFalse(self.client.record_outcome(answer.decision_id, offer, nbo.OUTCOME_SEEN).recorded)
            self.assertIn("seen", self.client.get_profile(self.customer).contacts[0].outcomes)

        def test_what_a_repeat_could_change_is_called_once(self) -> None:
            decision = self.ask().decision_id
            visitor = nbo.visitor(f"visitor-{self.customer}")
            calls: list[Callable[[], Any]] = [
                lambda: self.client.cancel(decision),
                lambda: self.client.upsert_profile(self.customer, attributes={"age": 41}),
                lambda: self.client.merge_customers(visitor, self.customer),
                lambda: self.client.unmerge_customers(visitor),
                lambda: self.client.delete_profile(self.customer),
                lambda: self.client.erase_customer(self.customer),
            ]
            for call in calls:
                self.relay.calls.clear()
                self.relay.faults = [served.lost]
                with self.assertRaises(nbo.Unavailable):
                    call()
                self.assertEqual(len(self.relay.calls), 1, self.relay.calls)

        def test_it_gives_up_after_as_many_tries_as_it_was_told(self) -> None:
            self.client = self.open(retry=nbo.Retry(tries=3, first_wait=0.01))
            self.relay.faults = [served.lost] * 3
            with self.assertRaises(nbo.Unavailable):
                self.ask()
            self.assertEqual(len(self.relay.calls), 3)

        def test_it_comes_back_when_the_server_says_that_there_is_room(self) -> None:
            self.relay.faults = [served.refused(retry_after=0.3)]
            self.ask()
            (_, refused, _), (_, answered, _) = self.relay.calls
            self.assertGreaterEqual(answered - refused, 0.3)

        def test_it_does_not_come_back_when_nothing_says_that_there_will_be_room(self) -> None:
            self.relay.faults = [served.refused(retry_after=None)]
            with self.assertRaises(nbo.ResourceExhausted):
                self.ask()
            self.assertEqual(len(self.relay.calls), 1)

        def test_it_does_not_wait_for_what_comes_after_the_deadline(self) -> None:
            self.relay.faults = [served.refused(retry_after=60.0)]
            begun = time.monotonic()
            with self.assertRaises(nbo.ResourceExhausted) as raised:
                self.ask()
            self.assertEqual(raised.exception.retry_after, 60.0)
            self.assertLess(time.monotonic() - begun, 5.0)

        def test_a_call_ends_at_its_deadline(self) -> None:
            self.relay.faults = [served.late]
            with self.assertRaises(nbo.DeadlineExceeded):
                self.ask(timeout=0.2)
            self.assertEqual(len(self.relay.calls), 1)

        def test_nobody_listening_is_told_as_that(self) -> None:
            self.relay.close()
            with self.assertRaises(nbo.Unavailable):
                self.ask()

        def test_a_token_goes_along_with_each_call(self) -> None:
            self.client = self.open(token="secret")
            self.ask()
            self.assertEqual(self.relay.calls[0][2]["authorization"], "Bearer secret")

        def test_every_method_reaches_the_server(self) -> None:
            decided = self.ask()
            offer = decided.placements[0].offers[0].offer_id
            report = v1.RecordOutcomeRequest(decision_id=decided.decision_id, offer_id=offer, outcome=nbo.OUTCOME_SEEN)
            results = self.client.record_outcomes([report, v1.RecordOutcomeRequest()]).results
            self.assertEqual([each.WhichOneof("result") for each in results], ["receipt", "fault"])
            self.assertEqual(self.client.cancel(decided.decision_id).cancelled, 2)
            visitor = nbo.visitor(f"visitor-{self.customer}")
            self.assertTrue(self.client.merge_customers(visitor, self.customer).merged)
            self.assertTrue(self.client.unmerge_customers(visitor).unmerged)
            exported = json.loads(self.client.export_customer(self.customer).json)
            self.assertEqual(exported["customer"], {"id": self.customer})
            self.assertTrue(self.client.get_contact_budget(self.customer, channel="web").limits)
            self.assertEqual(len(self.client.get_catalog(include_offers=True).offers), 104)
            self.assertGreaterEqual(self.client.get_status().customers, 100)
            with self.assertRaises(nbo.FailedPrecondition):
                # Without a journal there is nothing to make it again from.
                self.client.replay_decision(decided.decision_id)
            self.assertTrue(self.client.delete_profile(self.customer).existed)
            with self.assertRaises(nbo.NotFound):
                self.client.get_profile(self.customer)
            self.client.erase_customer(self.customer)
            with self.assertRaises(nbo.FailedPrecondition):
                self.client.upsert_profile(self.customer, attributes={"age": 41})
            self.client.upsert_profile(self.customer, attributes={"age": 41}, after_erasure=True)
            self.client.upsert_profile(self.customer, opt_out_of_all=True, cleared=["age"])
            profile = self.client.get_profile(self.customer)
            self.assertEqual((dict(profile.attributes), profile.opted_out_of_all), ({}, True))


class Waiting(Contract.Tests):
    """The client that waits."""

    connect = nbo.Client


class Looping(Contract.Tests):
    """The client for an event loop."""

    connect = InLoop


class Values(unittest.TestCase):
    """What requests are made of."""

    def test_a_plain_value_is_of_the_kind_that_is_like_it(self) -> None:
        for plain, kind in [
            (True, v1.AttributeValue(boolean=True)),
            (1, v1.AttributeValue(number=1.0)),
            ("fund", v1.AttributeValue(text="fund")),
            (date(2026, 3, 2), v1.AttributeValue(text="2026-03-02")),
            (["fund"], v1.AttributeValue(set=v1.TextSet(values=["fund"]))),
            (frozenset(), v1.AttributeValue(set=v1.TextSet())),
        ]:
            self.assertEqual(nbo.value(plain), kind)  # type: ignore[arg-type]

    def test_what_could_mean_several_things_is_refused(self) -> None:
        with self.assertRaises(TypeError):
            nbo.value(datetime.now(timezone.utc))
        with self.assertRaises(TypeError):
            nbo.value(None)  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            nbo.event("search", time=datetime.now())

    def test_a_token_is_not_sent_over_a_network_in_the_clear(self) -> None:
        for kind in (nbo.Client, nbo.AsyncClient):
            with self.assertRaisesRegex(ValueError, "in the clear"):
                kind("offers.bank.example:443", token="secret")
        nbo.Client("offers.bank.example:443", token="secret", tls=True).close()
        nbo.Client("[::1]:50051", token="secret").close()

    def test_every_status_has_an_error_that_can_be_caught(self) -> None:
        for fault in (nbo.InvalidRequest, nbo.NotFound, nbo.ResourceExhausted, nbo.Unavailable):
            self.assertTrue(issubclass(fault, nbo.NboError))
        self.assertEqual(str(nbo.NotFound(grpc.StatusCode.NOT_FOUND, "gone")), "NOT_FOUND: gone")


if __name__ == "__main__":
    unittest.main()
