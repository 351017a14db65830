"""Answers that are packed where a call asks for it."""

from __future__ import annotations

from typing import Any

import grpc

from tvm_sparse.serve.messages import choose_packing

_KINDS = {"gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate}


async def pack_as_asked(context: Any) -> None:
    """Have the messages of a call packed as `accept-encoding` in its metadata says, if it does.

    What a client can unpack gRPC keeps to itself, and most can: whether it wants to is told in the
    word that HTTP has for it. To be called once there is an answer: it sends the metadata.

    Parameters
    ----------
    context : grpc.aio.ServicerContext
        Of the call.
    """
    for name, value in context.invocation_metadata() or ():
        if name == "accept-encoding" and (packing := choose_packing(value)):
            context.set_compression(_KINDS[packing])
            await context.send_initial_metadata(())  # grpc.aio forgets the compression otherwise
            return
