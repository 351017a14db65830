"""What our Relax operators have in common: attributes, calls, registration."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any, ClassVar, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

import tvm
from tvm import relax

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.kernels.description import describe

Expr: TypeAlias = relax.Expr
Self = TypeVar("Self", bound="Operator")


class Operator:
    """An operator of ours: a frozen dataclass whose fields are the attributes of its calls.

    A subclass says its name (`class PackedDense(Operator, name="packed_dense")`), which registers
    `tvm_sparse.<name>`, and defines `__call__`, `infer_type` and `kernel` over the operands.
    """

    op_name: ClassVar[str]
    #: Gives the type of the result.
    infer_type: Callable[..., relax.TensorType]
    #: Gives what the kernel that computes a call is, and its code.
    kernel: Callable[..., tuple[KernelFacts, tvm.tirx.PrimFunc]]

    def __init_subclass__(cls, name: str | None = None) -> None:
        if name is None:
            return  # what some operators have in common
        cls.op_name = f"tvm_sparse.{name}"
        for key, value in {
            "FInferType": lambda call, _: cls.of(call).infer_type(*call.args),
            "FLegalize": lambda bb, call: cls.of(call).legalize(bb, call),
            "FPurity": True,
        }.items():
            tvm.ir.register_op_attr(cls.op_name, key, value)

    @classmethod
    def of(cls: type[Self], call: relax.Call) -> Self:
        """Return the operator, with its attributes, that `call` calls."""
        return _from_attrs(cls, call.attrs)

    def call(self, *operands: Expr | None) -> relax.Call:
        """Return a call; operands that are None are left out."""
        return relax.Call(
            tvm.ir.Op.get(self.op_name),
            [operand for operand in operands if operand is not None],
            attrs=tvm.ir.make_node("ir.DictAttrs", **asdict(self)),  # type: ignore[call-overload]
        )

    def legalize(self, bb: relax.BlockBuilder, call: relax.Call) -> Expr:
        """Return what stands for a call once operators become kernels."""
        facts, kernel = self.kernel(*call.args)
        function = _function(bb, describe(kernel, facts), facts.name)
        return relax.call_tir(function, list(call.args), out_ty=call.ty)


def made(make: Callable[..., tvm.tirx.PrimFunc], *args: Any) -> tvm.tirx.PrimFunc:
    """Make each kernel once a process: layers of one shape share it, whatever tokens they have."""
    return _made(make, *(_of_any(arg) if isinstance(arg, TokenLayout) else arg for arg in args))


@functools.cache
def _made(make: Callable[..., tvm.tirx.PrimFunc], *args: Any) -> tvm.tirx.PrimFunc:
    return make(*args)


def _of_any(layout: TokenLayout) -> TokenLayout:
    return replace(layout, of_rows=False)


def _function(bb: relax.BlockBuilder, kernel: tvm.tirx.PrimFunc, name: str) -> tvm.ir.GlobalVar:
    """Return the function of a kernel, added if it is new.

    The builder finds equal functions by comparing code, which takes as long as making it.
    """
    mod = bb.get()
    if name in mod:
        function = mod.get_global_var(name)
        if mod[function].same_as(kernel):
            return function
    return bb.add_func(kernel, name)


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    return get_type_hints(cls)


def _from_attrs(cls: type[Any], attrs: Any) -> Any:
    hints = _hints(cls)  # type: ignore[arg-type]  # classes are hashable
    return cls(**{f.name: _value(hints[f.name], attrs[f.name]) for f in fields(cls)})


def _value(hint: Any, value: Any) -> Any:
    if is_dataclass(hint):
        return _from_attrs(hint, value)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        return tuple(_value(item, part) for item, part in zip(get_args(hint), value, strict=True))
    return hint(value)
