"""What a product of token tiles computes with: float32, or words of four small integers.

The kernels of products pass over weights and tokens in the same way; an `Arithmetic` says how a
step multiplies and adds, where sums begin, and how they become the float32 of an output.

Tokens that were quantised are words of u8 (`kernels.quantize_tokens`), with two words behind those
of a token: minus its zero point z, and the bits of its scale s. Where q are the values, v the
integers of a weight and S its scale for an output,

    output = s * S * (sum(q * v) - z * sum(v))

and all but the first factors is integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence

import tvm

from tvm_sparse.formats.quantized import GRADES, TOKEN_WORDS, VNNI, WIDE, WORD, Grade
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.vector import (
    Bind,
    Buffer,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    int32,
    load,
)
from tvm_sparse.target import bits_of

Places = Sequence[Sequence[Expr]]

#: LLVM's names, by the 32-bit lanes of a register: products of u8 and s8 in pairs, of s16 in pairs.
_PAIRS = {
    4: ("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.sse2.pmadd.wd"),
    8: ("llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx2.pmadd.wd"),
    16: ("llvm.x86.avx512.pmaddubs.w.512", "llvm.x86.avx512.pmaddw.d.512"),
}


class Arithmetic:
    """Float32 multiply-adds.

    Attributes
    ----------
    dtype : str
        Of data and weights in memory, and of sums.
    span : int
        Steps whose products may be added up before they are `collect`ed.
    speed : float
        Multiply-adds a time against those of float32.
    factors : int
        Values in memory that make the weight of a step.
    """

    dtype = "float32"
    span = 1
    speed = 1.0
    factors = 1

    def __init__(self, layout: TokenLayout) -> None:
        self.lanes = layout.lanes

    def steps(self, depth: int) -> int:
        """Return the steps of a product over so many inputs."""
        return depth

    def rows(self, depth: int) -> int:
        """Return the rows of a tile in memory: one a step, and what is known of the tokens."""
        return depth

    def declare(self, data: Buffer, units: int, depth: int) -> None:
        """Declare what belongs to a packed weight as the next arguments of the function."""

    def start(self, acc: Registers, places: Places) -> None:
        """Set the sums of outputs, at these places, to what they begin with."""
        acc.fill(0.0)

    def partial(self, acc: Registers) -> Registers:
        """Return the sums that the steps of a span add to."""
        return acc

    def collect(self, acc: Registers, partial: Registers) -> None:
        """Add what a span came to."""

    def tokens(self, places: Sequence[Sequence[Expr]]) -> Sequence[Sequence[Expr]]:
        """Return the tokens of a step for each factor, by vector; they come by place and vector."""
        return [*zip(*places, strict=True)]

    def add(self, total: Expr, factors: Sequence[Expr], tokens: Sequence[Expr]) -> Expr:
        """Return a partial sum with the products of a step."""
        return total + factors[0] * tokens[0]

    def parked(self, value: Expr) -> Expr:
        """Return a sum as the float32 that waits in an output for the next panel."""
        return value

    def resumed(self, value: Expr) -> Expr:
        """Return the sum that `parked` gave."""
        return value

    def finished(self, acc: Registers, places: Places) -> Sequence[Expr]:
        """Return the products that sums stand for, as float32."""
        return [acc[index] for index in range(acc.count)]


class WordArithmetic(Arithmetic):
    """Products of words, added up as a grade says."""

    dtype = "int32"

    def __init__(self, layout: TokenLayout, grade: Grade) -> None:
        super().__init__(layout)
        self.grade, self.span, self.speed = grade, max(1, grade.span), grade.speed

    def steps(self, depth: int) -> int:
        return depth // WORD

    def rows(self, depth: int) -> int:
        return depth // WORD + TOKEN_WORDS

    def declare(self, data: Buffer, units: int, depth: int) -> None:
        self._data, self._words = data, self.steps(depth)
        self._scales = argument("weight_scales", (units,))
        self._sums = argument("weight_sums", (units,), "int32")

    def start(self, acc: Registers, places: Places) -> None:
        for index, (tile, unit, token) in enumerate(places):
            shift = load(self._data, [tile, self._words, token], self.lanes)
            acc[index] = shift * broadcast(self._sums[unit], self.lanes)

    def partial(self, acc: Registers) -> Registers:
        if self.span == 1:
            return acc
        sums = Registers(acc.count, 2 * self.lanes, "int16")
        sums.fill(0)
        return sums

    def collect(self, acc: Registers, partial: Registers) -> None:
        if self.span > 1:
            for index in range(acc.count):
                acc[index] = acc[index] + self._widened(partial[index])

    def tokens(self, places: Sequence[Sequence[Expr]]) -> Sequence[Sequence[Expr]]:
        """Return words as they are, or such as have each value from another of four."""
        if len(places) > 1:
            # All vectors of a place in turn: they lie in one line of the cache, where loads from
            # the same part of two lines would get into each other's way.
            first, second, third, fourth = places
            halves = [self._blended("int8", *pair) for pair in ((first, second), (third, fourth))]
            places = [self._blended("int16", *halves)]
        return super().tokens(places)

    def _blended(self, dtype: str, evens: Sequence[Expr], odds: Sequence[Expr]) -> Sequence[Expr]:
        """Return registers with every second value of so many bits from another one."""
        bind, count = Bind(self.lanes, "int32"), 32 * self.lanes // bits_of(dtype)
        order = [int32(lane + lane % 2 * count) for lane in range(count)]
        mixed = []
        for pair in zip(evens, odds, strict=True):
            values = [T.reinterpret(f"{dtype}x{count}", word) for word in pair]
            shuffled = tvm.tirx.Shuffle(values, order)
            mixed.append(bind(T.reinterpret(f"int32x{self.lanes}", shuffled)))
        return mixed

    def add(self, total: Expr, factors: Sequence[Expr], tokens: Sequence[Expr]) -> Expr:
        values, weights = (
            T.reinterpret(f"int8x{WORD * self.lanes}", word) for word in (tokens[0], factors[0])
        )
        if self.grade == VNNI:
            name = f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}"
            return T.call_llvm_pure_intrin(f"int32x{self.lanes}", name, total, values, weights)
        name = _PAIRS[self.lanes][0]
        pairs = T.call_llvm_pure_intrin(f"int16x{2 * self.lanes}", name, values, weights)
        return total + (pairs if self.span > 1 else self._widened(pairs))

    def parked(self, value: Expr) -> Expr:
        return T.reinterpret(f"float32x{self.lanes}", value)

    def resumed(self, value: Expr) -> Expr:
        return T.reinterpret(f"int32x{self.lanes}", value)

    def finished(self, acc: Registers, places: Places) -> Sequence[Expr]:
        found = []
        for index, (tile, unit, token) in enumerate(places):
            bits = load(self._data, [tile, self._words + 1, token], self.lanes)
            scale = T.reinterpret(f"float32x{self.lanes}", bits)
            scale = scale * broadcast(self._scales[unit], self.lanes)
            found.append(T.Cast(f"float32x{self.lanes}", acc[index]) * scale)
        return found

    def _widened(self, pairs: Expr) -> Expr:
        """Return neighbouring sums of 16 bits as one of 32."""
        ones = broadcast(1, 2 * self.lanes, "int16")
        name = _PAIRS[self.lanes][1]
        return T.call_llvm_pure_intrin(f"int32x{self.lanes}", name, pairs, ones)


class WideArithmetic(WordArithmetic):
    """Products of words, as many of 16 bits: nothing overflows, whatever the weights are."""

    factors = 2

    def tokens(self, places: Sequence[Sequence[Expr]]) -> Sequence[Sequence[Expr]]:
        """Return the values with even places and those with odd ones, of 16 bits."""
        bind, count = Bind(self.lanes, "int32"), 2 * self.lanes
        eight, low = (broadcast(value, count, "uint16") for value in (8, 0xFF))
        found = []
        for (word,) in super().tokens(places):
            values = T.reinterpret(f"uint16x{count}", word)
            parts = (T.bitwise_and(values, low), T.shift_right(values, eight))
            found.append([bind(T.reinterpret(f"int32x{self.lanes}", part)) for part in parts])
        return found

    def add(self, total: Expr, factors: Sequence[Expr], tokens: Sequence[Expr]) -> Expr:
        name = _PAIRS[self.lanes][1]
        for factor, values in zip(factors, tokens, strict=True):
            pairs = (T.reinterpret(f"int16x{2 * self.lanes}", word) for word in (values, factor))
            total = total + T.call_llvm_pure_intrin(f"int32x{self.lanes}", name, *pairs)
        return total


def arithmetic_of(layout: TokenLayout, grade: str | None) -> Arithmetic:
    """Return that of a product of words of a grade, or of float32 without one."""
    if grade is None:
        return Arithmetic(layout)
    kind = WideArithmetic if GRADES[grade] == WIDE else WordArithmetic
    return kind(layout, GRADES[grade])
