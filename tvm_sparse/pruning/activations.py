"""The inputs of a model's dense layers, from our own dense build of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.compiler.compile import compile_model, replace_weights, without_weights
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import PassError
from tvm_sparse.ir.dense_layers import find_dense_weights
from tvm_sparse.ir.expressions import static_shape
from tvm_sparse.ir.functions import (
    bindings,
    main_function,
    micro_batches,
    parameters,
    returning,
    with_main,
)
from tvm_sparse.model.model import Model
from tvm_sparse.runtime.crew import choose_threads, on_threads


@dataclass(frozen=True)
class DenseInput:
    """One tensor that dense layers multiply.

    `index` is its place among the outputs of the exposing module, `weights` what multiplies it:
    query, key and value share theirs. Of its shape (..., K) all axes but the last are tokens.
    """

    index: int
    weights: tuple[str, ...]
    shape: tuple[int, ...]


def expose_dense_inputs(
    mod: tvm.IRModule, names: Iterable[str]
) -> tuple[tvm.IRModule, list[DenseInput]]:
    """Return a module that computes what the given layers multiply, and nothing else.

    `main` takes what it took and returns the tensors, in the order in which they are computed.
    Raises PassError if a name is no weight of a dense layer.
    """
    func = main_function(mod)
    wanted = list(names)
    found = find_dense_weights(func, wanted)
    if missing := [name for name in wanted if name not in found]:
        raise PassError(f"{missing[0]} given: no dense layer multiplies it")
    reads = {var: name for name, weight in found.items() for var in weight.read_as}
    readers: dict[relax.Var, list[str]] = {}
    for binding in bindings(func):
        value = binding.value
        if isinstance(value, relax.Call) and len(value.args) == 2 and value.args[1] in reads:
            readers.setdefault(value.args[0], []).append(reads[value.args[1]])
    tensors = list(readers)
    exposed = relax.transform.DeadCodeElimination()(with_main(mod, returning(func, tensors)))
    return exposed, [
        DenseInput(i, tuple(dict.fromkeys(readers[var])), static_shape(var))
        for i, var in enumerate(tensors)
    ]


class ActivationRunner:
    """Runs a model and hands out the inputs of the dense layers with the weights `names`.

    Between `load` and `unload` it holds weights, else only the code. Raises PassError or BuildError
    from the compiler.
    """

    def __init__(self, model: Model, names: Iterable[str], threads: int | None = None) -> None:
        self._mod, self.inputs = expose_dense_inputs(model.mod, names)
        func = main_function(self._mod)
        self.names = [var.name for var in parameters(func)[0]]
        self.shapes = [
            (shape[0] * micro_batches(func), *shape[1:])
            for shape in map(static_shape, func.params[: len(self.names)])
        ]
        self._threads = choose_threads(threads)
        build = compile_model(self._mod, model.params, CompileSpec(threads=threads))
        self._machine = relax.VirtualMachine(build.executable, tvm.cpu())
        self._code = without_weights(build)
        self._weights: list[tvm.runtime.Tensor] = []

    def load(self, params: Mapping[str, np.ndarray]) -> None:
        """Take the weights to run with, all of the model's by name."""
        packed = replace_weights(self._code, self._mod, params).lowered.params
        self._weights = [tvm.runtime.tensor(value) for value in packed.values()]

    def unload(self) -> None:
        """Let go of the weights."""
        self._weights = []

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Return the tensors of `inputs` for one batch of the model's inputs by name."""
        arguments = [tvm.runtime.tensor(np.asarray(inputs[name])) for name in self.names]
        run = self._machine["main"]
        results = on_threads(self._threads, lambda: run(*arguments, *self._weights))
        return [result.numpy() for result in results]
