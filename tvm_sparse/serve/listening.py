"""Where a server listens."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig

_BACKLOG = 2048

Address = TypeVar("Address", HttpConfig, GrpcConfig)


def listen(address: HttpConfig | GrpcConfig, shared: bool = False) -> socket.socket:
    """Return a socket that listens at an address.

    Parameters
    ----------
    address : HttpConfig or GrpcConfig
        Where.
    shared : bool
        Whether other processes listen there, too, all of them with a socket like this.

    Raises
    ------
    ConfigError
        It is taken, or none of this machine.
    """
    return _bind(address, shared, _BACKLOG)


@contextlib.contextmanager
def hold(address: Address) -> Iterator[Address]:
    """Yield an address with a port that is free, kept for processes that share it.

    Raises
    ------
    ConfigError
        See `listen`.
    """
    # Who shares an address is not told that strangers share it, too.
    address = reserve(address)
    with _bind(address, True, 0):
        yield address


def reserve(address: Address) -> Address:
    """Return an address with a port that is free, for who opens it elsewhere.

    Raises
    ------
    ConfigError
        See `listen`.
    """
    with listen(address) as bound:
        return replace(address, port=bound.getsockname()[1])


def join(host: str, port: int) -> str:
    """Return host and port in one word."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bind(address: HttpConfig | GrpcConfig, shared: bool, backlog: int) -> socket.socket:
    """Return a socket with an address, which listens if it has a backlog."""
    bound = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((address.host, address.port))
        if backlog:
            bound.listen(backlog)
    except OSError as error:
        bound.close()
        reason = error.strerror or error
        section = "http" if isinstance(address, HttpConfig) else "grpc"
        raise ConfigError(
            f"{join(address.host, address.port)} cannot be listened at ({reason}): give "
            f"another {section}.host or {section}.port"
        ) from None
    return bound
