"""Element-wise operations on values in token tiles."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.ir.dims import product
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ops.tiled import rectangle
from tvm_sparse.passes.tile_rules.rule import Rule
from tvm_sparse.passes.tiled_values import Tiled

_NAMES = (
    *("nn.relu", "nn.gelu", "nn.gelu_tanh", "nn.silu", "tanh", "sigmoid", "negative"),
    *("add", "subtract", "multiply", "divide", "maximum"),
)
_OPS = {f"relax.{name}" for name in _NAMES}


class Elementwise(Rule):
    """Compute element by element in tiles; numbers, features and numbers of tokens broadcast."""

    def pattern(self) -> bool:
        if op_name(self.value) not in _OPS:
            return False
        self.in_tiles = [arg for arg in self.value.args if self._is_tiled(arg)]
        return bool(self.in_tiles)

    def check(self) -> str:
        shape, features = tensor_shape(self.in_tiles[0]), self._like.features
        if shape != tensor_shape(self.var):
            return f"the tiles of {shape} are broadcast to {tensor_shape(self.var)}"
        for arg in self.value.args:
            same = isinstance(arg, relax.Var) and tensor_shape(arg) == shape
            broadcast = self._is_number(arg) or self._is_of_tokens(arg)
            if not (same or broadcast or tensor_shape(arg) == (features,)):
                return f"an operand of shape {tensor_shape(arg)} is broadcast"
        return ""

    def rewrite(self) -> None:
        args = [self._operand(arg) for arg in self.value.args]
        call = relax.Call(self.value.op, args, self.value.attrs, self.value.ty_args)
        like = self._like
        self.values.tiled[self.var] = Tiled(self.values.emit(call), like.layout, 0, like.features)

    @property
    def _like(self) -> Tiled:
        return self.values.tiled[self.in_tiles[0]]

    def _is_tiled(self, arg: relax.Expr) -> bool:
        return isinstance(arg, relax.Var) and arg in self.values.tiled

    def _is_number(self, arg: relax.Expr) -> bool:
        return bool(product(tensor_shape(arg)) == 1) and not self._is_tiled(arg)

    def _is_of_tokens(self, arg: relax.Expr) -> bool:
        """Return whether an operand is a number for each token."""
        shape, like = tensor_shape(arg), tensor_shape(self.in_tiles[0])
        tokens = rectangle(self._like.layout)
        ones = (1,) * (len(like) - 2)
        is_var = isinstance(arg, relax.Var) and str(arg.ty.dtype) == "float32"
        return is_var and shape == (*tokens, *ones) and like[:2] == tokens

    def _operand(self, arg: relax.Expr) -> relax.Expr:
        shape, like = tensor_shape(arg), self._like
        if self._is_number(arg):
            rows = self.values.in_rows(arg)
            # A scalar of more axes than tiles have would add them to the result.
            return self.values.emit(relax.op.reshape(rows, ())) if len(shape) > 3 else rows
        if isinstance(arg, relax.Var) and shape == tensor_shape(self.in_tiles[0]):
            return self.values.in_tiles(arg, like.layout, like.features).var
        if self._is_of_tokens(arg):
            return self.values.in_tiles(arg, like.layout, 1).var
        vector = relax.op.reshape(self.values.in_rows(arg), (like.features, 1))
        return self.values.emit(vector)
