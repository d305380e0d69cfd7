"""Asks NBO, the next-best-offer engine, for offers, and tells it what customers do.

    with nbo.Client("127.0.0.1:50051") as client:
        answer = client.get_offers(customer="demo-000001", channel="web", placements=[("best_offers", 3)])

`Client` waits, `AsyncClient` is for an event loop; both have the same calls. Answers are the contract's messages,
`nbo.v1`.
"""

from nbo.aio import AsyncClient, AsyncWatch
from nbo.client import Client, Watch
from nbo.errors import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidRequest,
    NboError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from nbo.retry import Retry
from nbo.v1 import (
    OUTCOME_ACCEPTED,
    OUTCOME_CLICKED,
    OUTCOME_CONVERTED,
    OUTCOME_DELIVERED,
    OUTCOME_REFUSED,
    OUTCOME_SEEN,
)
from nbo.values import event, value, visitor

__all__ = [
    "OUTCOME_ACCEPTED",
    "OUTCOME_CLICKED",
    "OUTCOME_CONVERTED",
    "OUTCOME_DELIVERED",
    "OUTCOME_REFUSED",
    "OUTCOME_SEEN",
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncWatch",
    "Client",
    "DeadlineExceeded",
    "FailedPrecondition",
    "FieldViolation",
    "InvalidRequest",
    "NboError",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Retry",
    "Unauthenticated",
    "Unavailable",
    "Watch",
    "event",
    "value",
    "visitor",
]
