"""JSON objects between two processes, one a line, over a socket that nothing else writes to."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Mapping
from typing import Any


class Channel:
    """One end of the conversation.

    Parameters
    ----------
    connection : socket
        Connected; closed with the channel.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lines = connection.makefile("rb")

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; it is lost when the other end is gone, as `receive` then tells."""
        line = json.dumps(message).encode() + b"\n"
        with contextlib.suppress(ConnectionError):
            self._connection.sendall(line)

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next message; None when the other end is gone."""
        try:
            line = self._lines.readline()
        except ConnectionError:
            return None
        # What a process wrote while it died may lack its end.
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        """Close this end; safe to call twice."""
        self._lines.close()
        self._connection.close()
