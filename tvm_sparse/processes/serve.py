"""The child's side: `python -m MODULE CHANNEL`, started by `processes.child`.

CHANNEL is the file descriptor of a socket. The parent sends requests, any JSON object of the
user's; each is answered with

    {"event": ...}      any number of them: progress, or results as they come
    {"result": ...}     or {"error": ...}, see `processes.failures`
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any

from tvm_sparse.processes.channel import Channel
from tvm_sparse.processes.failures import describe

#: Receives a JSON-ready event.
Report = Callable[[Any], None]


def serve(handle: Callable[[dict[str, Any], Report], Any]) -> None:
    """Answer the parent's requests as long as it lives.

    Parameters
    ----------
    handle : callable
        Takes a request and what sends an event, returns the JSON-ready result. An error it raises
        is the parent's to raise; whether to go on after it is the parent's to decide.
    """
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    while (request := channel.receive()) is not None:
        try:
            channel.send({"result": handle(request, lambda event: channel.send({"event": event}))})
        except Exception as error:  # told to the parent, which raises it
            channel.send({"error": describe(error)})
