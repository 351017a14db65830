"""AMX: registers of 16 rows of 64 bytes, and the instruction that multiplies two of them.

A register of weights holds 16 outputs by 16 words of s8, one of tokens 16 words by 16 tokens of u8,
one of sums 16 outputs by 16 tokens of int32. Linux lets a process use them that has asked for it. A
thread says once how large they are, and drops them in the end: what they hold is saved whenever
another thread takes its place.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18; Linux,
Documentation/arch/x86/xstate.rst.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tvm

from tvm_sparse.amx import REQUEST
from tvm_sparse.formats.quantized import TILE, WORD
from tvm_sparse.kernels.vector import Argument, Buffer, Expr, T, address, int64, scratch

#: Registers by what they hold.
SUMS, WEIGHTS, TOKENS = (0, 1, 2, 3), (4, 5), (6, 7)
_ASK = "tvm_sparse_ask_for_amx"
_REFUSED = "this process may not use AMX: export the model with --target x86-64-v4-vnni"


@contextmanager
def permitted() -> Iterator[None]:
    """Open the code of a function that uses AMX; it fails where the system does not allow that.

    The first of them asks, so that it makes no difference which program has loaded the build.
    """
    answer = T.call_extern("int64", _ASK)
    with T.attr(T.int32(0), "pragma_import_llvm", _asking()), T.Assert(answer == 0, _REFUSED):
        yield


@contextmanager
def configured(words: int) -> Iterator[None]:
    """Open the code of a thread that uses the registers, with so many words of inputs a step."""
    columns = [TILE] * len(SUMS) + [words] * len(WEIGHTS) + [TILE] * len(TOKENS)
    rows = [TILE] * len(SUMS + WEIGHTS) + [words] * len(TOKENS)
    # A palette, bytes of a row in 16 bits for each register, and rows in 8 bits.
    config = bytearray(64)
    config[0] = 1
    config[16:32] = b"".join((WORD * count).to_bytes(2, "little") for count in columns)
    config[48:56] = bytes(rows)
    memory = scratch(len(config) // 4, "int32")
    for place in range(0, len(config), 4):
        word = int.from_bytes(config[place : place + 4], "little")
        T.buffer_store(memory, T.int32(word), [int64(place // 4)])
    _emit("ldtilecfg", address(memory, [0]))
    yield
    _emit("tilerelease")


def clear(register: int) -> None:
    """Set all of a register to zero."""
    _emit("tilezero", _number(register))


def load_register(
    register: int, tensor: Argument | Buffer, place: Sequence[Expr], words: int
) -> None:
    """Load rows that begin so many words after each other in memory."""
    _emit("tileloadd64", _number(register), address(tensor, place), int64(WORD * words))


def store_register(
    register: int, tensor: Argument | Buffer, place: Sequence[Expr], words: int
) -> None:
    """Store rows so many words after each other."""
    _emit("tilestored64", _number(register), address(tensor, place), int64(WORD * words))


def multiply(sums: int, weights: int, tokens: int) -> None:
    """Add the products of words, s8 of weights and u8 of tokens."""
    _emit("tdpbsud", *map(_number, (sums, weights, tokens)))


def _asking() -> str:
    """Return the function that asks, in LLVM's language: a kernel has no memory between calls.

    Threads may ask at once, and a library's answer holds for its forks, as the permission does.
    """
    values = ", ".join(f"i64 {value}" for value in REQUEST)
    return f"""
        @{_ASK}.answer = linkonce_odr hidden global i64 1
        declare i64 @syscall(i64, ...)
        define linkonce_odr hidden i64 @{_ASK}() {{
        known:
          %before = load atomic i64, ptr @{_ASK}.answer monotonic, align 8
          %granted = icmp eq i64 %before, 0
          br i1 %granted, label %end, label %ask
        ask:
          %answer = call i64 (i64, ...) @syscall({values})
          store atomic i64 %answer, ptr @{_ASK}.answer monotonic, align 8
          br label %end
        end:
          %result = phi i64 [ 0, %known ], [ %answer, %ask ]
          ret i64 %result
        }}
    """


def _emit(name: str, *operands: Expr) -> None:
    T.evaluate(T.call_llvm_intrin("void", f"llvm.x86.{name}", *operands))


def _number(register: int) -> Expr:
    return tvm.tirx.IntImm("int8", register)
