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

from tvm_sparse.formats.quantized import GRADES, TOKEN_WORDS, VNNI, WORD, Grade
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernels.vector import (
    Buffer,
    Expr,
    Registers,
    T,
    argument,
    broadcast,
    load,
)

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
    """

    dtype = "float32"
    span = 1
    speed = 1.0

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

    def add(self, total: Expr, factor: Expr, tokens: Expr) -> Expr:
        """Return a partial sum with the products of a step."""
        return total + factor * tokens

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

    def add(self, total: Expr, factor: Expr, tokens: Expr) -> Expr:
        values, weights = (
            T.reinterpret(f"int8x{WORD * self.lanes}", word) for word in (tokens, factor)
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


def arithmetic_of(layout: TokenLayout, grade: str | None) -> Arithmetic:
    """Return that of a product of words of a grade, or of float32 without one."""
    return Arithmetic(layout) if grade is None else WordArithmetic(layout, GRADES[grade])
