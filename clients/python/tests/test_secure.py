"""What callers of a server with TLS and tokens can rely on."""

import unittest
from collections.abc import Callable
from typing import Any

import served
from test_client import THREE, InLoop

import nbo


class Contract:
    """The tests, for each client once."""

    @unittest.skipUnless(served.SECRETS, served.NO_SECRETS)
    class Tests(unittest.TestCase):
        connect: Callable[..., Any]

        def open(self, **options: Any) -> Any:
            given = {"ca": served.secret("ca.pem"), "token": served.secret("website.token").decode(), **options}
            client = type(self).connect(served.secure_address(), timeout=15.0, **given)
            self.addCleanup(client.close)
            return client

        def test_a_caller_with_the_authority_and_a_token_is_answered_as_far_as_its_roles_go(self) -> None:
            client = self.open()
            answer = client.get_offers(customer="demo-000003", **THREE)
            offers = answer.placements[0].offers
            self.assertEqual(len(offers), 3)
            self.assertTrue(client.record_outcome(answer.decision_id, offers[0].offer_id, nbo.OUTCOME_SEEN).recorded)
            with self.assertRaisesRegex(nbo.PermissionDenied, "this takes the role operate"):
                client.get_status()

        def test_nobody_is_answered_without_a_token_that_is_good(self) -> None:
            for token in (None, "nbo_guessed"):
                with self.assertRaises(nbo.Unauthenticated):
                    self.open(token=token).get_offers(customer="demo-000003", **THREE)

        def test_a_server_of_another_authority_is_not_told_anything(self) -> None:
            with self.assertRaises(nbo.Unavailable):
                self.open(ca=served.secret("other-ca.pem")).get_offers(customer="demo-000003", **THREE)


class Waiting(Contract.Tests):
    """The client that waits."""

    connect = nbo.Client


class Looping(Contract.Tests):
    """The client for an event loop."""

    connect = InLoop


if __name__ == "__main__":
    unittest.main()
