"""What attention is over: heads, where their features lie, and what is added to scores."""

from __future__ import annotations

from dataclasses import dataclass

#: Of a window, on a side where it has no end.
UNBOUNDED = -1


@dataclass(frozen=True)
class AttentionShape:
    """Heads and where their features lie, and what is added to scores.

    Attributes
    ----------
    heads, head_dim, value_dim : int
        Number of heads, features of a query/key and of a value per head.
    features, offsets : (int, int, int)
        Feature extents of the query, key and value tensors, and the first feature of each in its
        tensor (a fused product holds all three).
    scale : float
        Factor on the scores.
    mask_batch : int or None
        Extent of the mask's batch axis, 1 or the batch (0 of an open layout); None without a mask.
    key_heads : int
        Heads of keys and values; as many queries' heads after another share one. 0: each has its
        own.
    bias : (int, int) or None
        Batch and heads of a number for each query and key, each 1 or all; None without.
    window : (int, int)
        Keys in front of a query and behind it that it may see, `UNBOUNDED` for all. The bias hides
        the others; this only says which need not be visited.
    to_position, from_position : bool
        Whether a query meets the distance to a key, and a key the distance from a query, with
        features of distances' own (the disentangled attention of DeBERTa).
    reach : int
        Tokens of whole tiles up to which the bias, and features of distances, know how far a query
        is from a key, in an open layout; there the bias is a table by distance. 0 in others.
    zeroes_unseen : bool
        Whether a query that sees no key becomes zero; else it attends to all keys alike.
    """

    heads: int
    head_dim: int
    value_dim: int
    features: tuple[int, int, int]
    offsets: tuple[int, int, int]
    scale: float
    mask_batch: int | None
    key_heads: int = 0
    bias: tuple[int, int] | None = None
    window: tuple[int, int] = (UNBOUNDED, UNBOUNDED)
    to_position: bool = False
    from_position: bool = False
    reach: int = 0
    zeroes_unseen: bool = False

    @property
    def is_windowed(self) -> bool:
        """Whether there are keys that a query need not visit."""
        return self.window != (UNBOUNDED, UNBOUNDED)
