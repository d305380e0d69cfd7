"""A real server for the tests, and a relay before it that loses answers and refuses calls when it is told to."""

import atexit
import functools
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc import error_details_pb2, status_pb2

ROOT = Path(__file__).resolve().parents[3]


SECRETS = os.environ.get("NBO_TEST_SECRETS")
"""The folder with certificates, keys and tokens for a server with TLS."""

NO_SECRETS = "NBO_TEST_SECRETS is not set; `cargo test --test it clients` makes what is needed"


def secret(name: str) -> bytes:
    """What stands in a file of that folder."""
    return Path(SECRETS or "", name).read_bytes()


@functools.cache
def address() -> str:
    """Starts a server for everybody, once; returns where it listens."""
    return started().removeprefix("http://")


@functools.cache
def secure_address() -> str:
    """Starts a server with TLS that wants to know its callers, once; returns where it listens."""
    files = {name: str(Path(SECRETS or "", name)) for name in ("cert.pem", "key.pem", "tokens")}
    safety = ["--tls-cert", files["cert.pem"], "--tls-key", files["key.pem"], "--tokens", files["tokens"]]
    return started(*safety).removeprefix("https://")


def started(*more: str) -> str:
    """Starts `nbo serve` with the built-in bank; returns its address.

    The program is that of NBO_BIN, or the one that cargo builds.
    """
    program = os.environ.get("NBO_BIN")
    if program is None:
        subprocess.run(["cargo", "build", "--bin", "nbo"], cwd=ROOT, check=True)
        target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
        program = str(Path(target, "debug", "nbo"))
    serve = [program, "serve", "--listen", "127.0.0.1:0", "--durability", "none", "--customers", "100", *more]
    server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    atexit.register(server.wait)
    atexit.register(server.kill)
    assert server.stdout is not None
    for line in server.stdout:
        if line.strip().startswith("listening"):
            return line.split()[1].rstrip(",")
    raise AssertionError("the server ended before it listened")


class Relay(grpc.GenericRpcHandler):
    """Passes every call on to the server. What `faults` holds happens to the next calls instead, one each."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, dict[str, str | bytes]]] = []
        self.faults: list[Callable[[grpc.ServicerContext, Callable[[], bytes]], bytes]] = []
        self.streams: list[Any] = []
        self._onward = grpc.insecure_channel(address())
        self._server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self])
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def close(self) -> None:
        """Ends all calls."""
        self._server.stop(None).wait()
        self._onward.close()

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """Takes any method; messages stay bytes."""
        path = details.method
        shown = {each[0]: each[1] for each in details.invocation_metadata or ()}

        def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
            self.calls.append((path, time.monotonic(), shown))
            method: Any = self._onward.unary_unary(path)
            try:
                return self.faults.pop(0)(context, lambda: method(request)) if self.faults else method(request)
            except grpc.RpcError as failure:
                raise passed_on(failure, context)

        def stream(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            self.calls.append((path, time.monotonic(), shown))
            method: Any = self._onward.unary_stream(path)
            answers = method(request)
            self.streams.append(answers)
            try:
                yield from answers
            except grpc.RpcError as failure:
                if failure.code() is grpc.StatusCode.CANCELLED:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the relay was told to break it off")
                raise passed_on(failure, context)

        if path.endswith("/WatchOffers"):
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


def passed_on(failure: grpc.RpcError, context: grpc.ServicerContext) -> BaseException:
    """Ends a call as the server did."""
    trailing: Any = failure.trailing_metadata()
    context.set_trailing_metadata(trailing)
    context.abort(failure.code(), failure.details() or "")
    return AssertionError("abort raises")


def lost(context: grpc.ServicerContext, ask: Callable[[], bytes]) -> bytes:
    """The server did what it was asked for, and the answer is lost."""
    ask()
    context.abort(grpc.StatusCode.UNAVAILABLE, "the answer was lost")
    raise AssertionError


def late(context: grpc.ServicerContext, ask: Callable[[], bytes]) -> bytes:
    """No answer comes while the caller waits."""
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait()
    return b""


def refused(retry_after: float | None) -> Callable[[grpc.ServicerContext, Callable[[], bytes]], bytes]:
    """There is no room, and perhaps will be after some seconds."""

    def refuse(context: grpc.ServicerContext, ask: Callable[[], bytes]) -> bytes:
        status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="too many calls")
        if retry_after is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromMilliseconds(int(retry_after * 1_000))
            packed = Packed()
            packed.Pack(info)
            status.details.append(packed)
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
        raise AssertionError

    return refuse
