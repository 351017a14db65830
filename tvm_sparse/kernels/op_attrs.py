"""What calls of our Relax operators carry, and how it is read back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import relax

from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.kernels.tiling import TokenLayout

Expr = relax.Expr


def op_call(name: str, args: Sequence[Expr | None], **attrs: Any) -> relax.Call:
    """Return a call of `tvm_sparse.<name>`; operands that are None are left out."""
    node = tvm.ir.make_node("ir.DictAttrs", **attrs)
    return relax.Call(
        tvm.ir.Op.get(f"tvm_sparse.{name}"), [arg for arg in args if arg is not None], attrs=node
    )


def shape_of(expr: Expr) -> list[int]:
    """Return the static shape of an expression."""
    return [int(dim) for dim in expr.ty.shape.values]


def tensor_type(shape: Sequence[int], dtype: str = "float32") -> relax.TensorType:
    """Return the type of a tensor with a static shape."""
    return relax.TensorType([int(dim) for dim in shape], dtype)


def layout_attrs(layout: TokenLayout) -> dict[str, int]:
    """Return a token layout as attributes of a call."""
    return {
        "batch": layout.batch,
        "seq_len": layout.seq_len,
        "token_tile": layout.token_tile,
        "lanes": layout.lanes,
    }


def layout_of(call: relax.Call) -> TokenLayout:
    """Return the token layout of a call."""
    return TokenLayout(
        *(int(call.attrs[name]) for name in ("batch", "seq_len", "token_tile", "lanes"))
    )


def epilogue_of(call: relax.Call) -> Epilogue:
    """Return the fused tail of a product's call."""
    return Epilogue(
        bool(call.attrs["has_bias"]),
        bool(call.attrs["has_residual"]),
        str(call.attrs["activation"]),
    )
