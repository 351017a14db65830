"""The child's side: `python -m MODULE CHANNEL LIFELINE`, started by `processes.child`.

CHANNEL is a socket. The parent sends requests, any JSON object of the user's; each is answered with

    {"event": ...}      any number of them: progress, or results as they come
    {"result": ...}     or {"error": ...}, see `processes.failures`

LIFELINE is a pipe on which nothing is ever sent and whose other end only the parent holds.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
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
    channel_fd, lifeline = map(int, sys.argv[1:])
    die_with_parent(lifeline)
    channel = Channel(socket.socket(fileno=channel_fd))
    while (request := channel.receive()) is not None:
        try:
            channel.send({"result": handle(request, lambda event: channel.send({"event": event}))})
        except Exception as error:  # told to the parent, which raises it
            channel.send({"error": describe(error)})


def die_with_parent(lifeline: int) -> None:
    """Have the kernel kill this process and those it starts once the parent is gone.

    The kernel sends SIGKILL to the process group when the pipe loses its other end, which also
    ends a process that is stopped or deep in C code. (PR_SET_PDEATHSIG would, too, but whenever
    the *thread* ends that started the process.)

    Parameters
    ----------
    lifeline : int
        File descriptor of the pipe; must stay open.
    """
    os.set_inheritable(lifeline, False)
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have gone before that.
    poll = select.poll()
    poll.register(lifeline)
    if poll.poll(0):
        os._exit(1)
