"""A line for each request that was answered or refused; of what was asked it holds no word."""

from __future__ import annotations

import json
import os
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import orjson

from tvm_sparse.errors import ConfigError
from tvm_sparse.serve.config import LogConfig
from tvm_sparse.serve.messages import Message, Receive, Send
from tvm_sparse.serve.ticket import Ticket

_STANDARD_ERROR = 2
#: What a client who left has been told, in nginx's words.
_LEFT = 499


@dataclass
class Entry:
    """What is known of a request.

    Attributes
    ----------
    method, path : str
        How and where it came.
    began_ns : int
        When, by `time.perf_counter_ns`.
    model, id : str
        Of the model that was asked, and what the client called the request.
    status : int
        Of HTTP; of gRPC what HTTP would have said.
    received, sent : int
        Bytes of the bodies, as far as they were read and sent.
    ticket : Ticket or None
        Its times, if it came so far.
    """

    method: str
    path: str
    began_ns: int = field(default_factory=time.perf_counter_ns)
    model: str = ""
    id: str = ""
    status: int = _LEFT
    received: int = 0
    sent: int = 0
    ticket: Ticket | None = None

    def receiving(self, receive: Receive) -> Receive:
        """Return what receives, and counts bytes."""

        async def counting() -> Message:
            message = await receive()
            self.received += len(message.get("body", b""))
            return message

        return counting

    def sending(self, send: Send) -> Send:
        """Return what sends, and takes note of it."""

        async def counting(message: Message) -> None:
            self.status = message.get("status", self.status)
            self.sent += len(message.get("body", b""))
            await send(message)

        return counting


#: Of the request that the running task answers; None where nothing is logged.
current: ContextVar[Entry | None] = ContextVar("entry", default=None)


def note(**found: Any) -> None:
    """Take note of something about the request that the running task answers."""
    entry = current.get()
    if entry is not None:
        for name, value in found.items():
            setattr(entry, name, value)


class AccessLog:
    """Writes the lines.

    Parameters
    ----------
    config : LogConfig
        Where, and how.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """

    def __init__(self, config: LogConfig) -> None:
        self._as_json, self._handle = config.format == "json", _STANDARD_ERROR
        if config.file:
            try:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._handle = os.open(config.file, flags, 0o640)
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise ConfigError(f"log.file: {config.file} cannot be written: {reason}") from None

    def write(self, entry: Entry) -> None:
        """Write the line of a request that has ended."""
        now, ticket = time.time(), entry.ticket or Ticket()
        stamp = (
            time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03}Z"
        )
        row = {
            "time": stamp,
            "id": entry.id,
            "method": entry.method,
            "path": entry.path,
            "model": entry.model,
            "status": entry.status,
            "bytes_in": entry.received,
            "bytes_out": entry.sent,
            "queue_us": ticket.wait_ns // 1000,
            "compute_us": ticket.run_ns // 1000,
            "total_us": (time.perf_counter_ns() - entry.began_ns) // 1000,
        }
        line = orjson.dumps(row) if self._as_json else _text(row)
        try:
            # In one piece: other processes write to the same file.
            os.write(self._handle, line + b"\n")
        except OSError:  # a full disk does not keep anybody from being answered
            return


def _text(row: dict[str, Any]) -> bytes:
    """Return `key=value` with a space between; texts are quoted as in JSON."""
    values = (json.dumps(value) if isinstance(value, str) else value for value in row.values())
    return " ".join(f"{key}={value}" for key, value in zip(row, values, strict=True)).encode()
