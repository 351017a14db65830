"""Where to listen, as a configuration says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

PORT, GRPC_PORT = 5543, 8001
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class HttpConfig:
    """Where to listen.

    Attributes
    ----------
    host : str
        Address of this machine; by default only this machine itself can reach the server.
    port : int
        Port; 0 for one that is free.
    max_body_mb : int
        Largest body of a request, unpacked, in MB.
    """

    host: str = LOOPBACK
    port: Annotated[int, Meta(ge=0, le=65535)] = PORT
    max_body_mb: Annotated[int, Meta(ge=1, le=4096)] = 64


@dataclass(frozen=True)
class GrpcConfig:
    """Where to listen for gRPC.

    Attributes
    ----------
    host : str
        Address of this machine.
    port : int
        Port; 0 for one that is free.
    max_message_mb : int
        Largest message, unpacked, in MB.
    """

    host: str = LOOPBACK
    port: Annotated[int, Meta(ge=0, le=65535)] = GRPC_PORT
    max_message_mb: Annotated[int, Meta(ge=1, le=2047)] = 64
