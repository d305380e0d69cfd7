"""The client for programs with an event loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Self, Unpack

import grpc

from nbo import calls, connection, v1
from nbo.calls import Answer, Call
from nbo.errors import NboError, Unavailable, error
from nbo.retry import Retry, Tries
from nbo.values import Customer


class AsyncClient:
    """Asks one server, from one event loop. It is closed by `close` or at the end of an `async with`."""

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
        """Takes what `nbo.Client` takes."""
        door = connection.door(address, token, tls, ca, certificate, key)
        self._metadata = door.metadata
        self._timeout = timeout
        self._retry = retry
        if door.credentials is None:
            self._channel = grpc.aio.insecure_channel(address, connection.OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, door.credentials, connection.OPTIONS)

    async def close(self) -> None:
        """Ends the connection. Close a watch first: one that still waits raises what happened."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, call: Call[Answer], timeout: float | None = None) -> Answer:
        """Makes a call, and makes it again while that may help and changes nothing."""
        method = self._channel.unary_unary(
            call.path,
            request_serializer=connection.encoded,
            response_deserializer=call.answer.FromString,
        )
        tries = Tries(self._retry, self._timeout if timeout is None else timeout)
        while True:
            try:
                answer: Answer = await method(call.request, timeout=tries.left(), metadata=self._metadata)
                return answer
            except grpc.aio.AioRpcError as failure:
                fault = error(failure)
            wait = tries.wait_after(fault) if call.repeatable else None
            if wait is None:
                raise fault
            await asyncio.sleep(wait)

    def watch_offers(
        self,
        customer: Customer,
        *,
        reconnect_within: float = connection.RECONNECT_WITHIN,
        **asked: Unpack[calls.List],
    ) -> "AsyncWatch":
        """Returns the customer's list, now and whenever it may have changed, as `nbo.Client.watch_offers` does."""
        call = calls.watch_offers(customer, asked)
        method = self._channel.unary_stream(
            call.path,
            request_serializer=connection.encoded,
            response_deserializer=call.answer.FromString,
        )
        return AsyncWatch(
            lambda: method(call.request, metadata=self._metadata), Tries(self._retry, reconnect_within, False)
        )

    async def get_offers(
        self, *, timeout: float | None = None, **asked: Unpack[calls.Offers]
    ) -> v1.GetOffersResponse:
        """Decides the offers for a customer, and reserves them unless `preview` is set."""
        return await self.run(calls.get_offers(asked), timeout)

    async def replay_decision(
        self, decision_id: str, *, omit_content: bool = False, timeout: float | None = 30.0
    ) -> v1.ReplayDecisionResponse:
        """Makes a past decision again and says why; takes about a second a gigabyte of journal."""
        return await self.run(calls.replay_decision(decision_id, omit_content), timeout)

    async def record_events(
        self,
        customer: Customer,
        events: Iterable[v1.Event],
        *,
        offers: calls.List | None = None,
        timeout: float | None = None,
    ) -> v1.RecordEventsResponse:
        """Records events of one customer, all or none; with `offers` the answer has the list that follows from them."""
        return await self.run(calls.record_events(customer, events, offers), timeout)

    async def record_outcome(
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
        return await self.run(calls.record_outcome(report), timeout)

    async def record_outcomes(
        self, outcomes: Iterable[v1.RecordOutcomeRequest], *, timeout: float | None = None
    ) -> v1.RecordOutcomesResponse:
        """Records up to 100 outcomes, each by itself: a refused one is a `fault` in the answer."""
        return await self.run(calls.record_outcomes(outcomes), timeout)

    async def cancel(
        self, decision_id: str, *, offer_id: str = "", placement: str = "", timeout: float | None = None
    ) -> v1.CancelResponse:
        """Releases what a decision reserved, because it will not be shown after all."""
        return await self.run(calls.cancel(decision_id, offer_id, placement), timeout)

    async def upsert_profile(
        self, customer: Customer, *, timeout: float | None = None, **written: Unpack[calls.Profile]
    ) -> v1.UpsertProfileResponse:
        """Writes attributes and consent of one customer."""
        return await self.run(calls.upsert_profile(customer, written), timeout)

    async def get_profile(self, customer: Customer, *, timeout: float | None = None) -> v1.GetProfileResponse:
        """Returns all that is known of one customer; raises `NotFound` when nothing is."""
        return await self.run(calls.get_profile(customer), timeout)

    async def delete_profile(self, customer: Customer, *, timeout: float | None = None) -> v1.DeleteProfileResponse:
        """Forgets one customer, who may be known again by the next call."""
        return await self.run(calls.delete_profile(customer), timeout)

    async def erase_customer(self, customer: Customer, *, timeout: float | None = None) -> v1.EraseCustomerResponse:
        """Erases one customer for good."""
        return await self.run(calls.erase_customer(customer), timeout)

    async def merge_customers(
        self,
        visitor: v1.Customer,
        customer: Customer,
        *,
        precedence: v1.Precedence = v1.PRECEDENCE_UNSPECIFIED,
        timeout: float | None = None,
    ) -> v1.MergeCustomersResponse:
        """Joins a visitor to a customer, as when somebody logs in."""
        return await self.run(calls.merge_customers(visitor, customer, precedence), timeout)

    async def unmerge_customers(
        self, visitor: v1.Customer, *, timeout: float | None = None
    ) -> v1.UnmergeCustomersResponse:
        """Parts a visitor from the customer again."""
        return await self.run(calls.unmerge_customers(visitor), timeout)

    async def export_customer(self, customer: Customer, *, timeout: float | None = None) -> v1.ExportCustomerResponse:
        """Returns everything that is known of one customer, as JSON."""
        return await self.run(calls.export_customer(customer), timeout)

    async def get_contact_budget(
        self, customer: Customer, *, channel: str = "", timeout: float | None = None
    ) -> v1.GetContactBudgetResponse:
        """Returns what contact limits leave for one customer."""
        return await self.run(calls.get_contact_budget(customer, channel), timeout)

    async def get_catalog(
        self, *, include_offers: bool = False, include_schema: bool = False, timeout: float | None = None
    ) -> v1.GetCatalogResponse:
        """Returns the catalog in force."""
        return await self.run(calls.get_catalog(include_offers, include_schema), timeout)

    async def get_status(self, *, timeout: float | None = None) -> v1.GetStatusResponse:
        """Returns how the server is."""
        return await self.run(calls.get_status(), timeout)


class AsyncWatch(AsyncIterator[v1.WatchOffersResponse]):
    """The lists of one customer as they come. Ends when it is closed, or at the end of an `async with`."""

    def __init__(self, begin: Callable[[], Any], tries: Tries) -> None:
        self._begin = begin
        self._tries = tries
        self._closed = asyncio.Event()
        self._stream: Any = None
        self._heard = False

    async def close(self) -> None:
        """Stops watching; whoever waits for the next list finds the end."""
        self._closed.set()
        if self._stream is not None:
            self._stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> v1.WatchOffersResponse:
        fault: NboError
        while not self._closed.is_set():
            if self._stream is None:
                self._stream = self._begin()
            try:
                answer: v1.WatchOffersResponse | object = await self._stream.read()
            except grpc.aio.AioRpcError as failure:
                fault = error(failure)
            except asyncio.CancelledError:
                # The watch was closed, or else whoever waits for it was cancelled.
                if not self._closed.is_set():
                    raise
                break
            else:
                if isinstance(answer, v1.WatchOffersResponse):
                    self._heard = True
                    return answer
                fault = Unavailable(grpc.StatusCode.UNAVAILABLE, "the server ended the list")
            self._stream = None
            if self._heard:
                # Patience begins anew with each break, however long ago the last list came.
                self._tries.begin()
                self._heard = False
            wait = self._tries.wait_after(fault)
            if wait is None:
                raise fault
            try:
                await asyncio.wait_for(self._closed.wait(), wait)
            except TimeoutError:
                pass
        raise StopAsyncIteration
