"""What a step of a block-sparse product reads of the weight: values, and offsets of inputs."""

from __future__ import annotations

from tvm_sparse.formats.bsr import WORD_BITS, Field
from tvm_sparse.kernels.vector import (
    Argument,
    Bind,
    Buffer,
    Expr,
    T,
    broadcast,
    broadcast_four,
    int64,
)


class Factors:
    """The values of a step, from `start` of all on one axis, as vectors of `width` lanes.

    Low blocks need a load for every two or three multiply-adds already: their values are loaded
    four together and spread by shuffles. High ones have loads to spare, while shuffles take turns
    with multiply-adds on one of the two ports that Intel has for 512 bits.
    """

    def __init__(self, values: Buffer, start: Expr, width: int, in_fours: bool) -> None:
        self.values, self.start, self.width, self.in_fours = values, start, width, in_fours
        self.loaded: dict[int, list[Expr]] = {}

    def get(self, place: int, count: int) -> list[Expr]:
        """Return the values of the step that are at a place, so many at each."""
        return [self._value(place * count + nth) for nth in range(count)]

    def _value(self, index: int) -> Expr:
        if not self.in_fours:
            return Bind(self.width, self.values.dtype)(
                broadcast(self.values[self.start + index], self.width)
            )
        four, within = divmod(index, 4)
        if four not in self.loaded:
            self.loaded[four] = broadcast_four(self.values, self.start + 4 * four, self.width)
        return self.loaded[four][within]


def packed_offset(
    words: Argument, step: Expr, taken: tuple[Expr | int, int], nth: int, field: Field
) -> Expr:
    """Return one of the offsets that are taken of a step, which share words, in floats.

    They are given as the first one and how many: a part of a word, or whole ones.
    """
    (first, count), per_word = taken, WORD_BITS // field.bits
    if isinstance(first, int):
        word, bit = divmod(first + nth, per_word)
        shift: Expr = int64(bit * field.bits)
    elif count % per_word == 0:
        word = T.floordiv(first, per_word) + nth // per_word
        shift = int64(nth % per_word * field.bits)
    else:
        word = T.floordiv(first, per_word)
        shift = (T.floormod(first, per_word) + nth) * field.bits
    shifted = T.shift_right(words[step, word], shift)
    return T.bitwise_and(shifted, int64((1 << field.bits) - 1)) * field.unit
