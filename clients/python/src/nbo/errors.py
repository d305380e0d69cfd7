"""What a refused or failed call raises."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

# Under this name a refusal carries its `google.rpc.Status`.
_DETAILS = "grpc-status-details-bin"


@dataclass(frozen=True)
class FieldViolation:
    """One wrong field of a request."""

    field: str
    """Its path, as in `placements[0].count`."""
    description: str
    """The value that was given, and what is allowed."""


class NboError(Exception):
    """A call that was refused or that failed."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        """The status."""
        self.message = message
        """What is wrong, in one line."""
        self.violations = violations
        """Each field that is wrong; empty when it is not about a field."""
        self.retry_after = retry_after
        """After how many seconds the server asks to try again, if it says so."""


class InvalidRequest(NboError):
    """A field has a value that is not allowed; `violations` names every one."""


class NotFound(NboError):
    """What the call is about is not known."""


class AlreadyExists(NboError):
    """The request id was used for another request."""


class FailedPrecondition(NboError):
    """The state does not allow it, as of a customer who was erased."""


class Aborted(NboError):
    """The decision was made, but its answer is no longer kept; the message names it, and it can be cancelled."""


class Unauthenticated(NboError):
    """The caller did not prove who it is."""


class PermissionDenied(NboError):
    """The caller may not do this."""


class ResourceExhausted(NboError):
    """The server has no room; with `retry_after` it has room again soon."""


class Unavailable(NboError):
    """The server cannot be reached, or is going down."""


class DeadlineExceeded(NboError):
    """The answer did not come in time. What the call does may have been done."""


_KINDS: dict[grpc.StatusCode, type[NboError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


class Failure(Protocol):
    """What sync and async calls tell of their end."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[Any] | None: ...


def error(failure: Failure) -> NboError:
    """Returns what to raise for a call that failed."""
    violations: tuple[FieldViolation, ...] = ()
    retry_after: float | None = None
    for detail in _details(failure):
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        if detail.Unpack(bad):
            violations = tuple(FieldViolation(each.field, each.description) for each in bad.field_violations)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    code = failure.code()
    return _KINDS.get(code, NboError)(code, failure.details() or "", violations, retry_after)


def _details(failure: Failure) -> list[Packed]:
    for name, value in failure.trailing_metadata() or ():
        if name == _DETAILS and isinstance(value, bytes):
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                # Somebody between put it there; the status itself still says what happened.
                return []
    return []
