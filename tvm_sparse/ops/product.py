"""Products of token tiles by a weight: what their operators have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import tvm
from tvm import relax

from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.kernel_facts import Epilogue, KernelFacts, Kind
from tvm_sparse.kernels.epilogue import SharedEpilogue
from tvm_sparse.ops.operator import Expr, Operator
from tvm_sparse.ops.tiled import tiled_type
from tvm_sparse.target import CpuTarget


def activates_in(operands: Iterable[Expr]) -> bool | None:
    """Return what `activates` is among the operands of a product, None if it is not."""
    return next((bool(int(arg)) for arg in operands if isinstance(arg, tvm.tirx.IntImm)), None)


@dataclass(frozen=True)
class ProductOperator(Operator):
    """Multiply token tiles by a packed weight.

    A subclass names the format it multiplies, `class PackedDense(ProductOperator,
    name="packed_dense", weights=DenseFormat)`, and has a field `form` for how a weight is packed.

    Attributes
    ----------
    takes_words : bool
        Whether it multiplies what `quantize_tokens` makes of token tiles.
    """

    takes_words: ClassVar[bool] = False
    by_format: ClassVar[dict[type[WeightFormat], type[ProductOperator]]] = {}

    shape: ProductShape
    epilogue: Epilogue

    def __init_subclass__(cls, name: str, weights: type[WeightFormat]) -> None:
        super().__init_subclass__(name=name)
        cls.by_format[weights] = cls

    @property
    def takes_any_size(self) -> bool:
        """Whether its kernel takes products of any N and K."""
        return False

    @classmethod
    @abstractmethod
    def choose(
        cls, shape: ProductShape, epilogue: Epilogue, form: Any, target: CpuTarget
    ) -> ProductOperator:
        """Choose the kernel for a weight that is packed so."""

    def __call__(
        self,
        data: Expr,
        weight: Sequence[Expr],
        bias: Expr | None = None,
        residual: Expr | None = None,
        tile_map: Expr | None = None,
        activates: bool | None = None,
    ) -> relax.Call:
        """Return a call; the weight is given as the arrays of its format.

        An open layout needs its tile map. `activates` says whether this call has the activation of
        the kernel, which others share then; None if that always has it.
        """
        asked = None if activates is None else tvm.tirx.IntImm("int64", int(activates))
        return self.call(data, *weight, bias, residual, asked, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.shape.layout, self.shape.units)

    def tail(self, operands: Iterable[Expr]) -> Epilogue:
        """Return what its kernel does with sums: if the operands tell, as a call is asked to."""
        if activates_in(operands) is None:
            return self.epilogue
        return SharedEpilogue(**asdict(self.epilogue))

    def facts(
        self, kind: Kind, form: WeightFormat, sizes: tuple[int, int] | None = None
    ) -> KernelFacts:
        """Return what its kernel is, for `sizes` N and K: 0 each if it takes any."""
        units, depth = sizes or (self.shape.units, self.shape.depth)
        return KernelFacts(kind, units, depth, self.shape.block_shape, self.epilogue, form.dtype)
