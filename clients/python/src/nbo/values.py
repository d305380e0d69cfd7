"""Builds the parts of requests from what Python programs have at hand."""

import uuid
from collections.abc import Iterable, Mapping, Set
from datetime import date, datetime, timezone

from google.protobuf.timestamp_pb2 import Timestamp

from nbo import v1

Customer = v1.Customer | str
"""A customer by the bank's own id, or what `visitor` returns."""

Placement = v1.PlacementRequest | tuple[str, int]
"""A placement's id, and how many offers are wanted."""

Value = v1.AttributeValue | bool | int | float | str | date | Set[str] | list[str] | tuple[str, ...]
"""The value of an attribute. Which kind is right is said by the catalog's schema."""


def visitor(anonymous_id: str) -> v1.Customer:
    """Returns a visitor of whom only a cookie or a device is known."""
    return v1.Customer(anonymous_id=anonymous_id)


def customer(given: Customer) -> v1.Customer:
    """Takes text for the bank's own id."""
    return v1.Customer(id=given) if isinstance(given, str) else given


def value(given: Value) -> v1.AttributeValue:
    """Takes a plain value as the kind that is like it; a date is the text `YYYY-MM-DD`.

    Raises `TypeError` for anything else.
    """
    match given:
        case v1.AttributeValue():
            return given
        case bool():
            return v1.AttributeValue(boolean=given)
        case int() | float():
            return v1.AttributeValue(number=given)
        case str():
            return v1.AttributeValue(text=given)
        case datetime():
            raise TypeError(f"{given!r} is a moment; an attribute can be a date")
        case date():
            return v1.AttributeValue(text=given.isoformat())
        case Set() | list() | tuple():
            return v1.AttributeValue(set=v1.TextSet(values=given))
        case _:
            raise TypeError(f"{given!r} is no attribute; a number, boolean, text, date or set of texts is")


def values(given: Mapping[str, Value] | None) -> dict[str, v1.AttributeValue]:
    """Takes attributes by name."""
    return {name: value(each) for name, each in (given or {}).items()}


def timestamp(given: datetime | None) -> Timestamp | None:
    """Takes a moment with a time zone.

    Raises `ValueError` for one without, since it could mean several.
    """
    if given is None:
        return None
    if given.tzinfo is None:
        raise ValueError(f"{given!r} has no time zone; give it one, as in datetime.now(timezone.utc)")
    moment = Timestamp()
    moment.FromDatetime(given.astimezone(timezone.utc))
    return moment


def event(
    type: str,
    attributes: Mapping[str, Value] | None = None,
    *,
    id: str = "",
    time: datetime | None = None,
    channel: str = "",
    place: str = "",
    session_id: str = "",
) -> v1.Event:
    """Returns something that a customer did. Without an id of the caller's it gets one; without a time it is now."""
    return v1.Event(
        id=id or str(uuid.uuid4()),
        type=type,
        time=timestamp(time),
        attributes=values(attributes),
        channel=channel,
        place=place,
        session_id=session_id,
    )


def identified(events: Iterable[v1.Event]) -> list[v1.Event]:
    """Gives an id to each event that has none; the caller's own messages stay as they are."""
    found = []
    for given in events:
        each = v1.Event()
        each.CopyFrom(given)
        each.id = each.id or str(uuid.uuid4())
        found.append(each)
    return found


def placements(given: Iterable[Placement]) -> list[v1.PlacementRequest]:
    """Takes pairs for placements."""
    return [
        v1.PlacementRequest(placement=each[0], count=each[1]) if isinstance(each, tuple) else each for each in given
    ]
