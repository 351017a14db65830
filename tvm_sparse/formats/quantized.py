"""Weights as integers: how they are rounded, and in what a CPU adds their products up.

Activations are u8, weights s8. Four of consecutive inputs of one token or output lie in one 32-bit
*word*, the first in the lowest byte: what instructions multiply and add in one step. A weight has a
scale for each output, symmetric around zero.

AVX2 multiplies pairs into sums of 16 bits, which saturate: 255 * (127 + 127) is twice what fits. A
`Grade` says how many products meet in one such sum, and `quantize_rows` finds for each output the
finest scale with which none can overflow, *whatever the activations are*. What a kernel computes is
then integer arithmetic, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse import amx
from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.integer_rows import integer_steps
from tvm_sparse.target import CpuTarget

#: Values in a word, and words in memory behind those of a token: its zero point and its scale.
WORD = 4
TOKEN_WORDS = 2
#: Outputs, words and tokens of a register of AMX's.
TILE = 16
#: Largest weight, of eight bits with a sign; the least is one below its negative.
MOST_WEIGHT = 127
#: What the weights of one sign in a sum may come to: 255 * 128 fits into 16 bits.
MOST_SUM = 128
# Scales that are tried between the finest and the coarsest that can be right.
_TRIALS = 9


@dataclass(frozen=True)
class Grade:
    """In what the products of a word are added up.

    Attributes
    ----------
    name : str
        What a kernel is told.
    span : int
        Words whose products meet in sums of 16 bits, a pair of each in one; 0 where all sums have
        32 bits.
    speed : float
        Multiply-adds against those of float32, about.
    bits : int
        Of a weight in memory.
    """

    name: str
    span: int
    speed: float
    bits: int = 8


#: AVX2 and its like: pairs are added in 16 bits, and at once to sums of 32.
EXACT = Grade("exact", 1, 2.0)
#: The same, several words before that: coarser weights, fewer instructions.
FAST = Grade("fast", 4, 2.5)
#: CPUs that multiply words: nothing saturates.
VNNI = Grade("vnni", 0, 4.0)
#: CPUs that multiply tiles of words, for dense layers: 16 outputs by 16 tokens at once.
AMX = Grade("amx", 0, 16.0)
#: Weights of 16 bits, in which a pair of products always fits into 32: for integers that come with
#: a checkpoint and that pairs of 16 bits have no room for.
WIDE = Grade("wide", 0, 1.5, 16)
GRADES: dict[str, Grade] = {grade.name: grade for grade in (EXACT, FAST, VNNI, AMX, WIDE)}


def grade_of(target: CpuTarget, fast: bool = False, is_dense: bool = False) -> Grade:
    """Return how a CPU multiplies words; `fast` asks for `FAST` where nothing is both.

    Tiles of words are for dense weights.

    Raises
    ------
    ConfigError
        If it has no products of such words.
    """
    if target.isa == "aarch64":
        raise ConfigError(
            f"int8 given for target {target.isa}, whose products of u8 and s8 are not used yet: "
            "choose a target of x86-64, or a build of float32"
        )
    if is_dense and amx.FLAGS[-1] in target.extensions:
        return AMX
    if target.extensions:
        return VNNI
    return FAST if fast else EXACT


def quantize_rows(
    words: NDArray[Any], grade: Grade, starts: NDArray[Any] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round the rows of a weight; a row of integers keeps them, if no sum of them can overflow.

    Parameters
    ----------
    words : numpy.ndarray
        float32 (rows, words, 4), every row in the order in which a kernel passes over its words;
        with `starts` (words, 4), all rows behind each other.
    grade : Grade
        What must not overflow.
    starts : numpy.ndarray, optional
        int (rows + 1,), the first word of each row and the end of the last.

    Returns
    -------
    values : numpy.ndarray
        int8, of the shape of `words`.
    scales : numpy.ndarray
        float32 (rows,): a weight is about value * scale. 1 of a row of zeros.
    """
    if starts is None:
        rows, count, _ = words.shape
        values, scales = quantize_rows(
            words.reshape(-1, WORD), grade, np.arange(rows + 1, dtype=np.int64) * count
        )
        return values.reshape(words.shape), scales
    rows = len(starts) - 1
    row_of = np.repeat(np.arange(rows), np.diff(starts))
    # A row whose largest is negative has a step more.
    finest = np.maximum(
        _highest(words.max(axis=1, initial=0), row_of, rows) / MOST_WEIGHT,
        _highest((-words).max(axis=1, initial=0), row_of, rows) / (MOST_WEIGHT + 1),
    )
    scales = _settled(finest)
    if grade.span:
        _prove(scales, words, row_of, starts, grade)
    steps = integer_steps(words.ravel(), WORD * starts)
    if (steps > 0).any():
        kept = np.where(steps > 0, steps, scales)
        values = _rounded(words, kept[row_of])
        fits = (steps > 0) & ~overflowing(values, grade, starts)
        scales = np.where(fits, kept, scales)
    return _rounded(words, scales[row_of]), scales


def _prove(
    scales: NDArray[np.float32],
    words: NDArray[Any],
    row_of: NDArray[Any],
    starts: NDArray[Any],
    grade: Grade,
) -> None:
    """Make the scales of rows coarser until none of their sums can overflow."""
    rows = len(scales)
    spans = _spans(row_of, starts, grade)
    sums, owners = _sums(words, spans, row_of)
    largest = _highest(sums, owners, rows)
    # Rounding adds half to each of the products in a sum at most: with the last scale none is more
    # than may be, whatever they are; with any above the first one the largest is.
    half = grade.span
    trials = np.linspace(MOST_SUM + half, MOST_SUM - half, _TRIALS)
    # What may overflow with some of these scales: few sums of all.
    is_high = sums >= largest[owners] * np.float32(trials[-1] / trials[0] * (1 - 1e-6))
    chosen = np.repeat(is_high, np.diff(np.append(_firsts(spans), len(spans))))
    words, spans, row_of = words[chosen], spans[chosen], row_of[chosen]
    finest = scales.copy()
    over = np.ones(rows, np.bool_)
    for trial in trials:
        coarser = np.maximum(finest, _settled(largest * np.float32(1 / trial)))
        scales[over] = np.where(largest > 0, coarser, finest)[over]
        found, owners = _sums(_rounded(words, scales[row_of]).astype(np.int16), spans, row_of)
        over = _highest(found, owners, rows) > MOST_SUM


def overflowing(
    values: NDArray[np.int8], grade: Grade, starts: NDArray[Any] | None = None
) -> NDArray[np.bool_]:
    """Return which rows of a weight some activations would make a sum of 16 bits overflow with.

    Takes int8 values as `quantize_rows` returns them, and what it was given: bool (rows,).
    """
    if starts is None:
        rows, count, _ = values.shape
        return overflowing(
            values.reshape(-1, WORD), grade, np.arange(rows + 1, dtype=np.int64) * count
        )
    rows = len(starts) - 1
    if not grade.span:
        return np.zeros(rows, np.bool_)
    row_of = np.repeat(np.arange(rows), np.diff(starts))
    spans = _spans(row_of, starts, grade)
    sums, owners = _sums(values.astype(np.int16), spans, row_of)
    return _highest(sums, owners, rows) > MOST_SUM


def as_words(values: NDArray[np.int8], grade: Grade = EXACT) -> NDArray[Any]:
    """Return int8 (..., 4) as words of a grade, the first value lowest.

    int32 (...), or of 16 bits each int64 (...): two words, of the values with even and odd places,
    as tokens come apart.
    """
    if grade.bits == 16:
        halves = np.ascontiguousarray(values[..., [0, 2, 1, 3]], "<i2")
        return halves.view("<i8")[..., 0]
    return np.ascontiguousarray(values).view("<i4")[..., 0].astype(np.int32, copy=False)


def _spans(row_of: NDArray[Any], starts: NDArray[Any], grade: Grade) -> NDArray[Any]:
    """Return an ascending number for the span of each word: they are counted in each row anew."""
    found: NDArray[Any] = (np.arange(len(row_of)) - starts[row_of]) // grade.span
    found += row_of * (len(row_of) + 1)
    return found


def _sums(
    words: NDArray[Any], spans: NDArray[Any], row_of: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the largest of the sums of one sign that meet in 16 bits, by span, and their rows."""
    # An instruction adds the products of a word in two pairs.
    pairs = words.reshape(-1, 2, 2)
    ups = np.maximum(pairs, 0).sum(axis=2, dtype=words.dtype)
    downs = ups - pairs.sum(axis=2, dtype=words.dtype)
    firsts = _firsts(spans)
    if len(firsts) < len(words):
        ups, downs = (np.add.reduceat(part, firsts, dtype=words.dtype) for part in (ups, downs))
    return np.maximum(ups, downs).max(axis=1, initial=0), row_of[firsts]


def _firsts(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return where ascending numbers change."""
    return np.flatnonzero(np.diff(numbers, prepend=-1))


def _highest(values: NDArray[Any], owners: NDArray[Any], rows: int) -> NDArray[Any]:
    """Return the highest value of each row, 0 of one without: owners ascend."""
    found = np.zeros(rows, values.dtype)
    firsts = _firsts(owners)
    if len(firsts):
        found[owners[firsts]] = np.maximum.reduceat(values, firsts)
    return found


def _settled(scales: NDArray[Any]) -> NDArray[np.float32]:
    return np.where(scales > 0, scales, 1.0).astype(np.float32)


def _rounded(words: NDArray[Any], scales: NDArray[np.float32]) -> NDArray[np.int8]:
    rounded = np.rint(words / scales[:, None])
    return np.clip(rounded, -MOST_WEIGHT - 1, MOST_WEIGHT).astype(np.int8)
