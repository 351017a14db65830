"""A client of gRPC that sends any bytes, and messages made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from tvm_sparse.serve.rpc.protocol import PACKAGE, message


class Caller:
    """Calls a server."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def begin(self, name: str, data: bytes, timeout: float = 30.0, **more: Any) -> grpc.Future:
        """Return a call that is under way."""
        call = self._channel.unary_unary(f"/{PACKAGE}.GRPCInferenceService/{name}")
        return call.future(data, timeout=timeout, **more)

    def ask(self, name: str, data: bytes, **more: Any) -> tuple[grpc.StatusCode, str, bytes]:
        """Return the code of an answer, what it says, and what it holds."""
        call = self.begin(name, data, **more)
        try:
            return grpc.StatusCode.OK, "", call.result()
        except grpc.RpcError as error:
            return error.code(), error.details(), b""

    def stream(self, parts: list[bytes], timeout: float = 30.0) -> list[bytes]:
        """Return what a stream answers."""
        call = self._channel.stream_stream(f"/{PACKAGE}.GRPCInferenceService/ModelStreamInfer")
        return list(call(iter(parts), timeout=timeout))


@contextmanager
def calling(address: str) -> Iterator[Caller]:
    with grpc.insecure_channel(address) as channel:
        yield Caller(channel)


def text_request(model: str, *texts: str) -> Any:
    """Return a request with texts in typed contents."""
    request = message("ModelInferRequest")(model_name=model)
    given = request.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts)])
    given.contents.bytes_contents.extend(text.encode() for text in texts)
    return request
