"""The server of gRPC, in the event loop of the one for HTTP."""

from __future__ import annotations

from grpc import aio

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.address_config import GrpcConfig
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.rpc.service import Service


async def start(repository: Repository, config: GrpcConfig, shared: bool) -> aio.Server:
    """Start to answer calls.

    Parameters
    ----------
    repository : Repository
        What is served.
    config : GrpcConfig
        Where to listen.
    shared : bool
        Whether other processes listen there, too.

    Raises
    ------
    ConfigError
        Somebody else listens there.
    """
    options = [
        ("grpc.max_receive_message_length", config.max_message_mb << 20),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int(shared)),
    ]
    server = aio.server(options=options)
    server.add_generic_rpc_handlers((Service(repository).handler(),))
    host = f"[{config.host}]" if ":" in config.host else config.host
    try:
        server.add_insecure_port(f"{host}:{config.port}")
    except RuntimeError as error:
        raise ConfigError(f"grpc: {error}") from None
    await server.start()
    return server
