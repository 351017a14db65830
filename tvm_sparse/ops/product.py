"""Products of token tiles by a weight: what their operators have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from tvm import relax

from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.kernel_facts import Epilogue, KernelFacts, Kind
from tvm_sparse.ops.operator import Expr, Operator
from tvm_sparse.ops.tiled import tiled_type
from tvm_sparse.target import CpuTarget


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
    ) -> relax.Call:
        """Return a call; the weight is given as the arrays of its format.

        An open layout needs its tile map.
        """
        return self.call(data, *weight, bias, residual, tile_map)

    def infer_type(self, *_: Expr) -> relax.TensorType:
        return tiled_type(self.shape.layout, self.shape.units)

    def facts(
        self, kind: Kind, form: WeightFormat, sizes: tuple[int, int] | None = None
    ) -> KernelFacts:
        """Return what its kernel is, for `sizes` N and K: 0 each if it takes any."""
        units, depth = sizes or (self.shape.units, self.shape.depth)
        return KernelFacts(kind, units, depth, self.shape.block_shape, self.epilogue, form.dtype)
