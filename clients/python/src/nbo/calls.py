"""Every call as a value: where it goes, what it says, and whether it may be made again.

`Client` and `AsyncClient` make these calls; what both share stands here once.
"""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Required, TypedDict, TypeVar, cast

from google.protobuf.message import Message

from nbo import v1, values

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One call."""

    method: str
    """As in `DecisionService/GetOffers`."""
    request: Message
    """What it says."""
    answer: type[Answer]
    """What comes back."""
    repeatable: bool
    """Whether to make it again changes nothing."""

    @property
    def path(self) -> str:
        """Where it goes."""
        return f"/nbo.v1.{self.method}"


class List(TypedDict, total=False):
    """What a list of offers is asked for with."""

    channel: Required[str]
    """Where the customer is, as the catalog names its channels."""
    placements: Required[Iterable[values.Placement]]
    """The places to fill, most important first, and how many offers each takes."""
    context: Mapping[str, values.Value]
    """What else is known of this moment."""
    duplicates: v1.Duplicates
    """Whether one offer may fill several placements."""
    explain: bool
    """Whether to say why each offer that is not shown is withheld."""
    omit_content: bool
    """Whether to leave out the content."""


class Offers(List, total=False):
    """What offers are asked for with."""

    customer: Required[values.Customer | None]
    """Who they are for; `None` for a visitor without any id."""
    events: Iterable[v1.Event]
    """Events to record before deciding."""
    preview: bool
    """Whether only to look: nothing is reserved and nothing recorded."""
    campaign: str
    """The campaign that asks."""
    request_id: str
    """Names the call, so that a repeat reserves nothing twice; made up when it is left out."""


def offers_request(given: Offers) -> v1.GetOffersRequest:
    """Builds a request, with an id of its own unless it only looks or nobody is known."""
    who = given["customer"]
    needs_id = who is not None and not given.get("preview", False)
    return v1.GetOffersRequest(
        customer=None if who is None else values.customer(who),
        channel=given["channel"],
        placements=values.placements(given["placements"]),
        duplicates=given.get("duplicates", v1.DUPLICATES_UNSPECIFIED),
        context=values.values(given.get("context")),
        events=values.identified(given.get("events", ())),
        explain=given.get("explain", False),
        preview=given.get("preview", False),
        omit_content=given.get("omit_content", False),
        campaign=given.get("campaign", ""),
        request_id=given.get("request_id", "") or (str(uuid.uuid4()) if needs_id else ""),
    )


def get_offers(given: Offers) -> Call[v1.GetOffersResponse]:
    """Decides offers; repeatable by its request id, or because it reserves nothing."""
    return Call("DecisionService/GetOffers", offers_request(given), v1.GetOffersResponse, True)


def watch_offers(customer: values.Customer, given: List) -> Call[v1.WatchOffersResponse]:
    """Watches a list; to look again changes nothing."""
    request = v1.WatchOffersRequest(
        customer=values.customer(customer),
        channel=given["channel"],
        placements=values.placements(given["placements"]),
        duplicates=given.get("duplicates", v1.DUPLICATES_UNSPECIFIED),
        context=values.values(given.get("context")),
        explain=given.get("explain", False),
        omit_content=given.get("omit_content", False),
    )
    return Call("DecisionService/WatchOffers", request, v1.WatchOffersResponse, True)


def replay_decision(decision_id: str, omit_content: bool) -> Call[v1.ReplayDecisionResponse]:
    """Makes a past decision again, which changes nothing."""
    request = v1.ReplayDecisionRequest(decision_id=decision_id, omit_content=omit_content)
    return Call("DecisionService/ReplayDecision", request, v1.ReplayDecisionResponse, True)


def record_events(
    customer: values.Customer, events: Iterable[v1.Event], offers: List | None
) -> Call[v1.RecordEventsResponse]:
    """Records events; repeatable by their ids, and by the request id of the list that is asked for with them."""
    request = v1.RecordEventsRequest(customer=values.customer(customer), events=values.identified(events))
    if offers is not None:
        asked = offers_request(cast(Offers, {"customer": customer, **offers}))
        asked.ClearField("customer")
        request.offers.CopyFrom(asked)
    return Call("BehaviourService/RecordEvents", request, v1.RecordEventsResponse, True)


def outcome_request(
    decision_id: str, offer_id: str, outcome: v1.Outcome, time: datetime | None, placement: str
) -> v1.RecordOutcomeRequest:
    """Builds one report."""
    return v1.RecordOutcomeRequest(
        decision_id=decision_id,
        offer_id=offer_id,
        outcome=outcome,
        time=values.timestamp(time),
        placement=placement,
    )


def record_outcome(request: v1.RecordOutcomeRequest) -> Call[v1.RecordOutcomeResponse]:
    """Records an outcome; of each the first report stands, so it is repeatable."""
    return Call("BehaviourService/RecordOutcome", request, v1.RecordOutcomeResponse, True)


def record_outcomes(outcomes: Iterable[v1.RecordOutcomeRequest]) -> Call[v1.RecordOutcomesResponse]:
    """Records several."""
    request = v1.RecordOutcomesRequest(outcomes=outcomes)
    return Call("BehaviourService/RecordOutcomes", request, v1.RecordOutcomesResponse, True)


def cancel(decision_id: str, offer_id: str, placement: str) -> Call[v1.CancelResponse]:
    """Releases what was reserved. A repeat would answer that nothing was, so it is left to the caller."""
    request = v1.CancelRequest(decision_id=decision_id, offer_id=offer_id, placement=placement)
    return Call("BehaviourService/Cancel", request, v1.CancelResponse, False)


class Profile(TypedDict, total=False):
    """What is written of a customer."""

    attributes: Mapping[str, values.Value]
    """New values; what is not named stays as it is."""
    cleared: Iterable[str]
    """Attributes that become unknown again."""
    replace: bool
    """Whether all attributes that are not named become unknown."""
    channel_opt_outs: Mapping[str, bool]
    """New answers to "no offers on this channel", by channel."""
    opt_out_of_all: bool
    """A new answer to "no offers at all"."""
    consents: Iterable[v1.Consent]
    """New answers to being contacted for a purpose."""
    after_erasure: bool
    """Whether somebody who was erased came back by themselves and is to be known again."""


def upsert_profile(customer: values.Customer, given: Profile) -> Call[v1.UpsertProfileResponse]:
    """Writes a profile. A repeat could undo what somebody else wrote in between, so it is left to the caller."""
    request = v1.UpsertProfileRequest(
        customer=values.customer(customer),
        attributes=values.values(given.get("attributes")),
        cleared=given.get("cleared", ()),
        replace=given.get("replace", False),
        channel_opt_outs=given.get("channel_opt_outs", {}),
        consents=given.get("consents", ()),
        after_erasure=given.get("after_erasure", False),
    )
    if (answer := given.get("opt_out_of_all")) is not None:
        request.opt_out_of_all = answer
    return Call("ProfileService/UpsertProfile", request, v1.UpsertProfileResponse, False)


def get_profile(customer: values.Customer) -> Call[v1.GetProfileResponse]:
    """Reads a profile."""
    request = v1.GetProfileRequest(customer=values.customer(customer))
    return Call("ProfileService/GetProfile", request, v1.GetProfileResponse, True)


def delete_profile(customer: values.Customer) -> Call[v1.DeleteProfileResponse]:
    """Forgets a customer. A repeat could forget who came back in between."""
    request = v1.DeleteProfileRequest(customer=values.customer(customer))
    return Call("ProfileService/DeleteProfile", request, v1.DeleteProfileResponse, False)


def erase_customer(customer: values.Customer) -> Call[v1.EraseCustomerResponse]:
    """Erases a customer. A repeat would answer that nothing was known, so it is left to the caller."""
    request = v1.EraseCustomerRequest(customer=values.customer(customer))
    return Call("ProfileService/EraseCustomer", request, v1.EraseCustomerResponse, False)


def merge_customers(
    visitor: v1.Customer, customer: values.Customer, precedence: v1.Precedence
) -> Call[v1.MergeCustomersResponse]:
    """Joins a visitor to a customer."""
    request = v1.MergeCustomersRequest(visitor=visitor, customer=values.customer(customer), precedence=precedence)
    return Call("ProfileService/MergeCustomers", request, v1.MergeCustomersResponse, False)


def unmerge_customers(visitor: v1.Customer) -> Call[v1.UnmergeCustomersResponse]:
    """Parts a visitor again."""
    request = v1.UnmergeCustomersRequest(visitor=visitor)
    return Call("ProfileService/UnmergeCustomers", request, v1.UnmergeCustomersResponse, False)


def export_customer(customer: values.Customer) -> Call[v1.ExportCustomerResponse]:
    """Reads everything that is known."""
    request = v1.ExportCustomerRequest(customer=values.customer(customer))
    return Call("ProfileService/ExportCustomer", request, v1.ExportCustomerResponse, True)


def get_contact_budget(customer: values.Customer, channel: str) -> Call[v1.GetContactBudgetResponse]:
    """Reads what contact limits leave."""
    request = v1.GetContactBudgetRequest(customer=values.customer(customer), channel=channel)
    return Call("ContactService/GetContactBudget", request, v1.GetContactBudgetResponse, True)


def get_catalog(include_offers: bool, include_schema: bool) -> Call[v1.GetCatalogResponse]:
    """Reads the catalog in force."""
    request = v1.GetCatalogRequest(include_offers=include_offers, include_schema=include_schema)
    return Call("CatalogService/GetCatalog", request, v1.GetCatalogResponse, True)


def get_status() -> Call[v1.GetStatusResponse]:
    """Reads how the server is."""
    return Call("OperationsService/GetStatus", v1.GetStatusRequest(), v1.GetStatusResponse, True)
