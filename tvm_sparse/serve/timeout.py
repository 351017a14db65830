"""How long a request may wait for its turn."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.serve.refusal import Refusal, not_now, too_late


@dataclass(frozen=True)
class Timeout:
    """How long a request may wait for its turn: for its queue, and for its client.

    Attributes
    ----------
    queue_s : float
        Seconds that its model's queue, or the request itself, allows.
    left_s : float or None
        Seconds until the client's deadline, if it has one.
    """

    queue_s: float
    left_s: float | None

    @property
    def seconds(self) -> float:
        """The shorter of both."""
        return self.queue_s if self.left_s is None else min(self.queue_s, self.left_s)

    def refusal(self, model: str) -> Refusal:
        """Return why a request to a model is refused when they are over."""
        message = f"model '{model}': request timed out after {self.seconds * 1000:.0f} ms"
        return not_now(message) if self.seconds == self.queue_s else too_late(message)
