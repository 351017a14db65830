"""Why a request is not answered."""

from __future__ import annotations

#: What HTTP's numbers mean here, for those who write clients.
REASONS = {
    400: "it is no JSON, or holds a wrong name, type, shape, parameter or id",
    404: "there is no such model or address",
    413: "the body, unpacked, is too large",
    500: "the model failed",
    503: "not now: not loaded yet, the queue is full, or it waited too long",
}


#: Characters of a message: clients of gRPC take 8 KB, and some characters are 12 bytes there.
_LONGEST = 600


class Refusal(Exception):
    """A request that is not answered.

    Parameters
    ----------
    status : int
        Of HTTP: 400 wrong, 404 unknown, 405 method, 413 too large, 503 not now, 504 too late for
        the client's deadline; `serve.rpc.infer_calls` has gRPC's words for them.
    message : str
        One line; what cannot be printed in it is escaped, and what is too long is cut.
    reason : str
        What it counts as in the metrics.
    allow : str
        The method that is allowed, where another one was used.
    """

    def __init__(self, status: int, message: str, reason: str = "OTHER", allow: str = "") -> None:
        if not message.isprintable():
            message = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
        if len(message) > _LONGEST:
            message = f"{message[:_LONGEST]}..."
        super().__init__(message)
        self.status, self.message, self.reason = status, message, reason
        self.allow = allow


def wrong(message: str) -> Refusal:
    """Return that what was asked is wrong."""
    return Refusal(400, message)


def not_now(message: str) -> Refusal:
    """Return that there is no time for it now."""
    return Refusal(503, message, "REJECTED")


def too_late(message: str) -> Refusal:
    """Return that it cannot be answered before the client's deadline."""
    return Refusal(504, message, "REJECTED")


def canceled(message: str) -> Refusal:
    """Return that nobody waits for it any more."""
    return Refusal(499, message, "CANCELED")
