"""Find the dense layers: which weights are multiplied, how often, and what else reads them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field

from tvm import relax
from tvm.ir import IRModule

from tvm_sparse.ir.dims import evaluate, product
from tvm_sparse.ir.expressions import (
    MATMUL,
    PERMUTE_DIMS,
    permutation,
    static_shape,
    tensor_shape,
)
from tvm_sparse.ir.functions import (
    bindings,
    main_function,
    micro_batches,
    nominal_shape,
    places_of,
)
from tvm_sparse.model.layer import Layer, Place


@dataclass
class DenseWeight:
    """One 2-D weight and everything that reads it.

    Attributes
    ----------
    var : relax.Var
        The function parameter.
    transposed : bool
        True when the parameter is (N, K) and a `permute_dims` stands before the matmul, False
        when it is (K, N) and multiplied as it is.
    rows : list of int
        M of every matmul that reads it, for a whole batch or the nominal shape of an open model, in
        order; more than one when layers share the weight.
    read_as : set of relax.Var
        The variables, the parameter or transposes of it, that these matmuls name.
    other_readers : list of str
        What reads the weight besides: the weight then cannot change its form.
    place : Place
        What it is for, as far as the importer told.
    """

    var: relax.Var
    transposed: bool
    rows: list[int] = field(default_factory=list)
    read_as: set[relax.Var] = field(default_factory=set)
    other_readers: list[str] = field(default_factory=list)
    place: Place = field(default_factory=Place)

    @property
    def shape(self) -> tuple[int, int]:
        """(N, K): outputs, inputs."""
        first, second = static_shape(self.var)
        return (first, second) if self.transposed else (second, first)

    @property
    def obstacle(self) -> str:
        """Why the weight cannot become sparse whatever its values are; empty if it can."""
        if self.other_readers:
            return f"also read by {', '.join(sorted(set(self.other_readers)))}"
        dtype = self.var.ty.dtype
        return "" if dtype == "float32" else f"{dtype} weight: the kernels multiply float32"

    @property
    def layer(self) -> Layer:
        """The same weight as rooms that know no TVM see it."""
        n, k = self.shape
        return Layer(
            name=self.var.name,
            shape=(n, k),
            stored="NK" if self.transposed else "KN",
            flops=sum(2 * m * n * k for m in self.rows),
            obstacle=self.obstacle,
            **asdict(self.place),
        )


def find_dense_weights(func: relax.Function, names: Collection[str]) -> dict[str, DenseWeight]:
    """Find the 2-D weights among the parameters `names` that are the right-hand side of a matmul.

    Chains of `permute_dims` between the weight and the matmul are followed.

    Returns
    -------
    dict of str to DenseWeight
        By parameter name, in the order of the first matmul. A weight that is multiplied both as
        it is and transposed counts as transposed, and the matmuls of the other kind as other
        readers.
    """
    # Every variable that holds a weight: (parameter, number of transposes is odd).
    holds = {
        param: (param, False)
        for param in func.params
        if param.name in names
        and isinstance(param.ty, relax.TensorType)
        and param.ty.ndim == 2
        and param.ty.shape is not None
    }
    shape = nominal_shape(func)
    matmuls: dict[relax.Var, list[tuple[relax.Var, bool, int]]] = {}
    others: dict[relax.Var, list[str]] = {}

    def note_other(expr: relax.Expr, reader: str) -> None:
        for var in relax.analysis.free_vars(expr):
            if var in holds:
                others.setdefault(holds[var][0], []).append(reader)

    for binding in bindings(func):
        value = binding.value
        if isinstance(value, relax.Var) and isinstance(binding, relax.VarBinding):
            if value in holds:
                holds[binding.var] = holds[value]
            continue
        if not isinstance(value, relax.Call):
            note_other(value, f"{type(value).__name__} {binding.var.name}")
            continue
        args = value.args
        if value.op == PERMUTE_DIMS and args[0] in holds:
            param, odd = holds[args[0]]
            holds[binding.var] = (param, odd ^ (permutation(value) == [1, 0]))
            continue
        readers = list(args)
        if value.op == MATMUL and args[1] in holds:
            param, odd = holds[readers.pop()]
            rows = evaluate(product(tensor_shape(args[0])[:-1]), *shape) * micro_batches(func)
            matmuls.setdefault(param, []).append((args[1], odd, rows))
        for arg in readers:
            note_other(arg, getattr(value.op, "name", "call").removeprefix("relax."))
    note_other(func.body.body, "the function's result")

    weights, places = {}, places_of(func)
    for param, uses in matmuls.items():
        weight = DenseWeight(param, transposed=any(odd for _, odd, _ in uses))
        weight.place = places.get(param.name.removesuffix(".T"), Place())
        for var, odd, rows in uses:
            if odd == weight.transposed:
                weight.read_as.add(var)
                weight.rows.append(rows)
            else:
                weight.other_readers.append("matmul with its transpose")
        weight.other_readers += others.get(param, [])
        weights[param.name] = weight
    return weights


def dense_layers(mod: IRModule, names: Collection[str]) -> list[Layer]:
    """List the dense layers of a module for `sparsity.sparsify` and `sparsity.decision`.

    One per weight among the parameters `names`, in the order of the first matmul, whether
    `simplify_fc_transpose` has run or not.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is unknown.
    """
    return [weight.layer for weight in find_dense_weights(main_function(mod), names).values()]
