"""Building blocks of the generated kernels: vector loads, stores, register tiles.

Kernels are written with TVM's IRBuilder (ordinary Python control flow, about a millisecond a
function, where parsing TVMScript takes a hundred). Buffers have int64 extents, which Relax needs;
every vector access is a `ramp` of `lanes` values, float32 unless said otherwise. Register tiles
are small buffers on the stack that are only accessed at constant offsets: LLVM keeps them in
registers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import tvm
import tvm.s_tir
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as T

Expr = Any
Buffer = Any


def int64(value: int | Expr) -> Expr:
    """Return a number as a TIR int64 constant, an expression as it is."""
    return tvm.tirx.IntImm("int64", value) if isinstance(value, int) else value


def int32(value: int) -> Expr:
    """Return `value` as a TIR int32 constant."""
    return tvm.tirx.IntImm("int32", value)


class Argument:
    """A tensor that a function is given. Its elements are reached by their place on one axis.

    TVM has a pass that finds these places, but it looks for bounds of the index of every access,
    those of registers too, and takes as long as all other passes together.

    Attributes
    ----------
    shape, dtype
        As declared.
    elements : Buffer
        A view of one axis.
    """

    def __init__(self, buffer: Buffer) -> None:
        self.shape, self.dtype = buffer.shape, buffer.dtype
        self.elements = T.Buffer((math.prod(self.shape[1:], start=self.shape[0]),), self.dtype)
        _views.append((self.elements, buffer.data))

    def __getitem__(self, indices: Any) -> Expr:
        """Return one element."""
        return self.elements[self.place(indices if isinstance(indices, tuple) else (indices,))]

    def place(self, indices: Sequence[int | Expr]) -> Expr:
        """Return the place of an element on the one axis."""
        place, *others = (int64(index) for index in indices)
        for extent, index in zip(self.shape[1:], others, strict=True):
            place = place * extent + index
        return place


#: Views of the arguments of the function being built, which are declared where it begins.
_views: list[tuple[Buffer, Expr]] = []


def argument(name: str, shape: Sequence[int | Expr], dtype: str = "float32") -> Argument:
    """Declare an argument of the function being built."""
    extents = [int64(dim) for dim in shape]
    return Argument(T.arg(name, T.Buffer(tuple(extents), dtype)))


def number(name: str) -> Expr:
    """Declare an int64 as the next argument of the function being built."""
    return T.arg(name, tvm.tirx.Var(name, "int64"))


def scratch(size: int | Expr, dtype: str = "float32") -> Buffer:
    """Allocate `size` values private to one parallel iteration.

    Below a kilobyte, TVM's limit there, they lie on the stack. Not of scope "local": TVM takes
    that from the heap, at every iteration of a parallel loop, and LLVM then writes back to it what
    it kept in registers.
    """
    extent = int64(size)
    return T.sblock_alloc_buffer((extent,), dtype, scope="global")


def broadcast(value: Expr | float, lanes: int, dtype: str = "float32") -> Expr:
    """Return a vector with `value` in every lane; `dtype` is that of a number."""
    scalar = getattr(T, dtype)(value) if isinstance(value, int | float) else value
    return T.broadcast(scalar, lanes)


def flat(buffer: Buffer, size: int | Expr) -> Buffer:
    """Return a view of a buffer of `size` values."""
    extent = int64(size)
    return T.decl_buffer((extent,), buffer.dtype, data=buffer.data)


def _on_one_axis(tensor: Argument | Buffer, indices: Sequence[Expr | int]) -> tuple[Buffer, Expr]:
    """Return a buffer of one axis, and the place of an element there."""
    if isinstance(tensor, Argument):
        return tensor.elements, tensor.place(indices)
    (place,) = indices
    return tensor, int64(place)


def address(tensor: Argument | Buffer, indices: Sequence[Expr | int]) -> Expr:
    """Return where an element lies."""
    buffer, place = _on_one_axis(tensor, indices)
    return T.address_of(buffer[place])


def prefetch(
    tensor: Argument | Buffer,
    indices: Sequence[Expr | int],
    to_write: bool = False,
    nearest: bool = True,
) -> None:
    """Ask for the cache line of an element, which may lie past the tensor's end.

    It is to be kept in all caches, or in all but the nearest.
    """
    # The last one: as data.
    T.evaluate(
        T.call_llvm_intrin(
            "void",
            "llvm.prefetch",
            address(tensor, indices),
            int32(to_write),
            int32(3 if nearest else 2),
            int32(1),
        )
    )


def load(tensor: Argument | Buffer, indices: Sequence[Expr | int], lanes: int) -> Expr:
    """Load `lanes` consecutive values along the last axis, starting at `indices`."""
    buffer, first = _on_one_axis(tensor, indices)
    return buffer[T.ramp(first, int64(1), lanes)]


def broadcast_four(buffer: Buffer, first: Expr, lanes: int) -> list[Expr]:
    """Return vectors with each of four consecutive values of a 1-D buffer in every lane.

    They are loaded together and spread by shuffles: a load for each would compete with those of
    the activations. The fence hides from LLVM that the shuffled register comes from memory; it
    would turn the shuffles back into loads.
    """
    four = load(buffer, [first], 4)
    repeated = tvm.tirx.Shuffle([four] * (lanes // 4), [int32(lane) for lane in range(lanes)])
    # It takes floats alone.
    bits = repeated if buffer.dtype == "float32" else T.reinterpret(f"float32x{lanes}", repeated)
    fence = T.call_llvm_pure_intrin(f"float32x{lanes}", "llvm.arithmetic.fence", bits)
    if buffer.dtype != "float32":
        fence = T.reinterpret(f"{buffer.dtype}x{lanes}", fence)
    source = Bind(lanes, buffer.dtype)(fence)
    # Within each quarter register: a shuffle that crosses none of them is cheap.
    return [
        tvm.tirx.Shuffle([source], [int32(lane // 4 * 4 + value) for lane in range(lanes)])
        for value in range(4)
    ]


def transpose(rows: Sequence[Expr]) -> list[Expr]:
    """Transpose as many vectors as they have lanes, in registers.

    In each round, vectors at a distance of a power of two exchange the parts that lie on the
    wrong side of the diagonal.
    """
    size = len(rows)
    vectors = list(rows)
    distance = size // 2
    while distance:
        lower = [lane if not lane & distance else size + lane - distance for lane in range(size)]
        upper = [lane + distance if not lane & distance else size + lane for lane in range(size)]
        for first in (index for index in range(size) if not index & distance):
            pair = [vectors[first], vectors[first + distance]]
            for place, order in ((first, lower), (first + distance, upper)):
                shuffled = tvm.tirx.Shuffle(pair, [int32(lane) for lane in order])
                vectors[place] = Bind(size)(shuffled)
        distance //= 2
    return vectors


def store(
    tensor: Argument | Buffer, value: Expr, indices: Sequence[Expr | int], lanes: int
) -> None:
    """Store a vector along the last axis, starting at `indices`, or one value."""
    buffer, first = _on_one_axis(tensor, indices)
    T.buffer_store(buffer, value, [T.ramp(first, int64(1), lanes) if lanes > 1 else first])


class _Pool:
    """The buffers behind the registers of one parallel iteration."""

    def __init__(self) -> None:
        self._free: dict[tuple[int, str], list[Buffer]] = {}
        self._taken: list[tuple[tuple[int, str], Buffer]] = []

    def take(self, lanes: int, dtype: str) -> Buffer:
        """Return a buffer that nobody uses."""
        free = self._free.setdefault((lanes, dtype), [])
        buffer = free.pop() if free else scratch(lanes, dtype)
        self._taken.append(((lanes, dtype), buffer))
        return buffer

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Have what is taken inside be free again behind."""
        count = len(self._taken)
        yield
        while len(self._taken) > count:
            kind, buffer = self._taken.pop()
            self._free[kind].append(buffer)


_pools: list[_Pool] = []


def own_registers() -> AbstractContextManager[None]:
    """Open a piece of code whose registers nobody reads behind it: others take their buffers.

    What TVM's passes take grows with the square of the number of buffers.
    """
    return _pools[-1].scope()


def held(value: Expr) -> Expr:
    """Return an int64 that the run decides, held in a register of its own.

    TVM's passes derive bounds of everything that such an expression reaches, for seconds; they look
    no further than a load.
    """
    register = _pools[-1].take(1, "int64")
    T.buffer_store(register, T.Cast("int64", value), [int64(0)])
    return register[int64(0)]


def threads_of_run() -> Expr:
    """Return how many threads share the parallel loops of a run, an int64.

    Where the function begins, not within a parallel loop.
    """
    register = scratch(1, "int32")
    T.buffer_store(register, T.call_packed("runtime.NumThreads"), [int64(0)])
    return T.Cast("int64", register[int64(0)])


class Registers:
    """A tile of vector registers, addressed by a flat index."""

    def __init__(self, count: int, lanes: int, dtype: str = "float32") -> None:
        # A buffer each, whatever their number: all of them stay below the stack's limit.
        self._buffers = [_pools[-1].take(lanes, dtype) for _ in range(count)]
        self.lanes, self.count, self.dtype = lanes, count, dtype

    def __getitem__(self, index: int) -> Expr:
        return load(self._buffers[index], [0], self.lanes)

    def __setitem__(self, index: int, value: Expr) -> None:
        store(self._buffers[index], value, [0], self.lanes)

    def fill(self, value: float) -> None:
        """Set every register to `value` in all lanes."""
        for index in range(self.count):
            self[index] = broadcast(value, self.lanes, self.dtype)

    def lowest(self) -> Expr:
        """Return the smallest value in any lane of any register."""
        least = self[0]
        for index in range(1, self.count):
            least = T.min(least, self[index])
        return T.call_llvm_pure_intrin(self.dtype, "llvm.vector.reduce.fmin", least)


class Bind:
    """Name intermediate vectors, so that an expression used twice is computed once."""

    def __init__(self, lanes: int, dtype: str = "float32") -> None:
        self.lanes, self.dtype = lanes, dtype

    def __call__(self, value: Expr) -> Expr:
        """Return `value`, held in a register of its own."""
        register = Registers(1, self.lanes, self.dtype)
        register[0] = value
        return register[0]

    def const(self, value: float) -> Expr:
        """Return a vector constant."""
        return broadcast(value, self.lanes, self.dtype)


@contextmanager
def parallel(extent: int | Expr, name: str, pays: bool = True) -> Iterator[Expr]:
    """Open a parallel loop whose body is one opaque block; yields the loop's block axis.

    The loop is serial where it is one iteration, or where threads would not pay.
    """
    stop = int64(extent)
    is_one = isinstance(extent, int) and extent <= 1
    with (T.parallel if pays and not is_one else T.serial)(int64(0), stop) as loop, T.sblock(name):
        axis = T.axis.spatial(stop, loop)
        T.reads([])
        T.writes([])
        _pools.append(_Pool())
        yield axis
        _pools.pop()


@contextmanager
def serial(start: int | Expr, stop: int | Expr) -> Iterator[Expr]:
    """Open a serial loop over [start, stop); yields the position.

    The loop itself counts from 0: TVM's `CanonicalizeLoop` does the same to one that starts
    elsewhere, but forgets the bounds of loops inside it.
    """
    first, last = (int64(b) for b in (start, stop))
    with T.serial(last - first) as step:
        yield first + step


def prim_func(emit: Callable[[], None]) -> tvm.tirx.PrimFunc:
    """Build a PrimFunc from `emit`, which declares the arguments and emits the statements.

    The function is marked opaque (`op_pattern` 8): FuseOps must leave a hand-made kernel alone.
    """
    # Before, not after: a function whose kernel failed leaves nothing to the next one.
    _views.clear()
    with IRBuilder() as builder, T.prim_func(s_tir=True, is_private=True):
        T.func_attr({"tirx.noalias": True, "op_pattern": 8})
        emit()
    function = builder.get()
    root, block = function.body, function.body.block
    declared = [tvm.tirx.DeclBuffer(view, data=data) for view, data in _views]
    body = tvm.tirx.SeqStmt([*declared, block.body])
    whole = tvm.s_tir.SBlock(
        *(block.iter_vars, block.reads, block.writes, block.name_hint, body, block.init),
        *(block.alloc_buffers, block.match_buffers, block.annotations),
    )
    return function.with_body(tvm.s_tir.SBlockRealize(root.iter_values, root.predicate, whole))
