"""How the server is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import grpc
from google.protobuf.message import Message

TIMEOUT = 1.0
"""For how many seconds a call is waited for unless it says otherwise; all its tries together."""

RECONNECT_WITHIN = 30.0
"""For how many seconds a watcher without an answer tries to come back before it gives up."""

OPTIONS: Sequence[tuple[str, int]] = (
    # Calls are made again here, where it is known which may be.
    ("grpc.enable_retries", 0),
    # A server that restarts is back within a second; the library's own second before it tries again is too long.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A watcher hears nothing for hours; this is how it notices that the other side is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def encoded(request: Message) -> bytes:
    """Returns what goes over the wire."""
    return request.SerializeToString()


@dataclass(frozen=True)
class Door:
    """An address, and what is shown there."""

    address: str
    credentials: grpc.ChannelCredentials | None
    metadata: tuple[tuple[str, str], ...]


def door(
    address: str,
    token: str | None,
    tls: bool,
    ca: bytes | None,
    certificate: bytes | None,
    key: bytes | None,
) -> Door:
    """Checks what was given together.

    Raises `ValueError` when half of a key pair is missing, or when a token would cross a network in the clear.
    """
    if (certificate is None) != (key is None):
        raise ValueError("certificate and key belong together; one of them is missing")
    if not (tls or ca is not None or certificate is not None):
        if token is not None and not _is_loopback(address):
            raise ValueError(f"a token for {address} would be sent in the clear; give ca=..., or tls=True")
        credentials = None
    else:
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    return Door(address, credentials, metadata)


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
