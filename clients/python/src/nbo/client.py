"""The client for programs that wait for each answer."""

import threading
import time as clock
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from nbo import calls, connection, v1
from nbo.calls import Answer, Call
from nbo.errors import NboError, Unavailable, error
from nbo.retry import Retry, Tries
from nbo.values import Customer


class Client:
    """Asks one server. It may be shared by threads, and is closed by `close` or at the end of a `with`."""

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        token: str | None = None,
        tls: bool = False,
        ca: bytes | None = None,
        certificate: bytes | None = None,
        key: bytes | None = None,
        timeout: float = connection.TIMEOUT,
        retry: Retry = Retry(),
    ) -> None:
        """Connects at the first call.

        `tls` trusts the authorities of the machine, `ca` those of a PEM file's bytes; `certificate` and `key`, PEM as
        well, are shown to a server that asks. `timeout` is in seconds, for all tries of a call together.
        """
        door = connection.door(address, token, tls, ca, certificate, key)
        self._metadata = door.metadata
        self._timeout = timeout
        self._retry = retry
        if door.credentials is None:
            self._channel = grpc.insecure_channel(address, connection.OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, door.credentials, connection.OPTIONS)

    def close(self) -> None:
        """Ends the connection. Close a watch first: one that still waits raises what happened."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, call: Call[Answer], timeout: float | None = None) -> Answer:
        """Makes a call, and makes it again while that may help and changes nothing."""
        method = self._channel.unary_unary(
            call.path,
            request_serializer=connection.encoded,
            response_deserializer=call.answer.FromString,
        )
        tries = Tries(self._retry, self._timeout if timeout is None else timeout)
        while True:
            try:
                answer: Answer = method(call.request, timeout=tries.left(), metadata=self._metadata)
                return answer
            except grpc.RpcError as failure:
                fault = error(failure)
            wait = tries.wait_after(fault) if call.repeatable else None
            if wait is None:
                raise fault
            clock.sleep(wait)

    def watch_offers(
        self,
        customer: Customer,
        *,
        reconnect_within: float = connection.RECONNECT_WITHIN,
        **asked: Unpack[calls.List],
    ) -> "Watch":
        """Returns the customer's list, now and whenever it may have changed.

        When the server goes away the watch comes back by itself, with a whole list; it raises what is wrong when that
        took longer than `reconnect_within` seconds.
        """
        call = calls.watch_offers(customer, asked)
        method = self._channel.unary_stream(
            call.path,
            request_serializer=connection.encoded,
            response_deserializer=call.answer.FromString,
        )
        return Watch(lambda: method(call.request, metadata=self._metadata), Tries(self._retry, reconnect_within, False))

    def get_offers(self, *, timeout: float | None = None, **asked: Unpack[calls.Offers]) -> v1.GetOffersResponse:
        """Decides the offers for a customer, and reserves them unless `preview` is set."""
        return self.run(calls.get_offers(asked), timeout)

    def replay_decision(
        self, decision_id: str, *, omit_content: bool = False, timeout: float | None = 30.0
    ) -> v1.ReplayDecisionResponse:
        """Makes a past decision again and says why; takes about a second a gigabyte of journal."""
        return self.run(calls.replay_decision(decision_id, omit_content), timeout)

    def record_events(
        self,
        customer: Customer,
        events: Iterable[v1.Event],
        *,
        offers: calls.List | None = None,
        timeout: float | None = None,
    ) -> v1.RecordEventsResponse:
        """Records events of one customer, all or none; with `offers` the answer has the list that follows from them."""
        return self.run(calls.record_events(customer, events, offers), timeout)

    def record_outcome(
        self,
        decision_id: str,
        offer_id: str,
        outcome: v1.Outcome,
        *,
        time: datetime | None = None,
        placement: str = "",
        timeout: float | None = None,
    ) -> v1.RecordOutcomeResponse:
        """Records what became of one decided offer."""
        report = calls.outcome_request(decision_id, offer_id, outcome, time, placement)
        return self.run(calls.record_outcome(report), timeout)

    def record_outcomes(
        self, outcomes: Iterable[v1.RecordOutcomeRequest], *, timeout: float | None = None
    ) -> v1.RecordOutcomesResponse:
        """Records up to 100 outcomes, each by itself: a refused one is a `fault` in the answer."""
        return self.run(calls.record_outcomes(outcomes), timeout)

    def cancel(
        self, decision_id: str, *, offer_id: str = "", placement: str = "", timeout: float | None = None
    ) -> v1.CancelResponse:
        """Releases what a decision reserved, because it will not be shown after all."""
        return self.run(calls.cancel(decision_id, offer_id, placement), timeout)

    def upsert_profile(
        self, customer: Customer, *, timeout: float | None = None, **written: Unpack[calls.Profile]
    ) -> v1.UpsertProfileResponse:
        """Writes attributes and consent of one customer."""
        return self.run(calls.upsert_profile(customer, written), timeout)

    def get_profile(self, customer: Customer, *, timeout: float | None = None) -> v1.GetProfileResponse:
        """Returns all that is known of one customer; raises `NotFound` when nothing is."""
        return self.run(calls.get_profile(customer), timeout)

    def delete_profile(self, customer: Customer, *, timeout: float | None = None) -> v1.DeleteProfileResponse:
        """Forgets one customer, who may be known again by the next call."""
        return self.run(calls.delete_profile(customer), timeout)

    def erase_customer(self, customer: Customer, *, timeout: float | None = None) -> v1.EraseCustomerResponse:
        """Erases one customer for good."""
        return self.run(calls.erase_customer(customer), timeout)

    def merge_customers(
        self,
        visitor: v1.Customer,
        customer: Customer,
        *,
        precedence: v1.Precedence = v1.PRECEDENCE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> v1.MergeCustomersResponse:
        """Joins a visitor to a customer, as when somebody logs in."""
        return self.run(calls.merge_customers(visitor, customer, precedence), timeout)

    def unmerge_customers(self, visitor: v1.Customer, *, timeout: float | None = None) -> v1.UnmergeCustomersResponse:
        """Parts a visitor from the customer again."""
        return self.run(calls.unmerge_customers(visitor), timeout)

    def export_customer(self, customer: Customer, *, timeout: float | None = None) -> v1.ExportCustomerResponse:
        """Returns everything that is known of one customer, as JSON."""
        return self.run(calls.export_customer(customer), timeout)

    def get_contact_budget(
        self, customer: Customer, *, channel: str = "", timeout: float | None = None
    ) -> v1.GetContactBudgetResponse:
        """Returns what contact limits leave for one customer."""
        return self.run(calls.get_contact_budget(customer, channel), timeout)

    def get_catalog(
        self, *, include_offers: bool = False, include_schema: bool = False, timeout: float | None = None
    ) -> v1.GetCatalogResponse:
        """Returns the catalog in force."""
        return self.run(calls.get_catalog(include_offers, include_schema), timeout)

    def get_status(self, *, timeout: float | None = None) -> v1.GetStatusResponse:
        """Returns how the server is."""
        return self.run(calls.get_status(), timeout)


class Watch(Iterator[v1.WatchOffersResponse]):
    """The lists of one customer as they come. Ends when it is closed, by any thread, or at the end of a `with`."""

    def __init__(self, begin: Callable[[], Any], tries: Tries) -> None:
        self._begin = begin
        self._tries = tries
        self._closed = threading.Event()
        self._stream: Any = None
        self._heard = False

    def close(self) -> None:
        """Stops watching; whoever waits for the next list finds the end."""
        self._closed.set()
        stream = self._stream
        if stream is not None:
            stream.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> v1.WatchOffersResponse:
        fault: NboError
        while not self._closed.is_set():
            if self._stream is None:
                self._stream = self._begin()
                if self._closed.is_set():
                    self._stream.cancel()
                    break
            try:
                answer: v1.WatchOffersResponse = next(self._stream)
            except StopIteration:
                fault = Unavailable(grpc.StatusCode.UNAVAILABLE, "the server ended the list")
            except grpc.RpcError as failure:
                fault = error(failure)
            else:
                self._heard = True
                return answer
            self._stream = None
            if self._closed.is_set():
                break
            if self._heard:
                # Patience begins anew with each break, however long ago the last list came.
                self._tries.begin()
                self._heard = False
            wait = self._tries.wait_after(fault)
            if wait is None:
                self.close()
                raise fault
            self._closed.wait(wait)
        raise StopIteration
