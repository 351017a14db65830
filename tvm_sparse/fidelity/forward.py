"""Run a model on texts: code compiled once for an architecture, weights exchanged at will."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import BuildError
from tvm_sparse.formats.builds import DENSE, BuildSpec
from tvm_sparse.model.model import Model
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.progress import Progress, silent
from tvm_sparse.runtime.crew import choose_threads, on_threads

Arrays = Mapping[str, NDArray[Any]]
#: Inputs of one run to its outputs by name.
Forward = Callable[[Arrays], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class DenseCode:
    """Dense code of one architecture at one shape, loaded into this process by `compile_dense`.

    Nothing here changes: weights are packed into new arguments. Names are in the order of the
    function's; `batch` and `seq_len` are the static shape of the ids.
    """

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    batch: int
    seq_len: int
    _mod: Any
    _build: Any
    _machine: Any
    _threads: int

    def weights_in(self, argument: str) -> tuple[str, ...]:
        """Return the names of the weights that an argument of the code holds."""
        from tvm_sparse.passes.packed_weights import stacked_in

        return stacked_in(self._build.lowered.mod["main"], argument)

    def pack(self, params: Arrays) -> PackedModel:
        """Return the model with these weights: all of them by name, as imported; not changed.

        Raises
        ------
        BuildError
            The weights are those of another architecture.
        """
        import tvm

        from tvm_sparse.compiler.compile import replace_weights

        packed = replace_weights(self._build, self._mod, params).lowered.params
        return PackedModel(self, {name: tvm.runtime.tensor(v) for name, v in packed.items()})

    def run(self, arguments: Sequence[Any], inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run the code on packed weights."""
        import tvm

        values = [tvm.runtime.tensor(np.ascontiguousarray(inputs[n])) for n in self.input_names]
        results = on_threads(self._threads, lambda: self._machine["main"](*values, *arguments))
        return {
            name: result.numpy() for name, result in zip(self.output_names, results, strict=True)
        }


@dataclass(frozen=True)
class PackedModel:
    """Code and weights; call it with the inputs of one run."""

    code: DenseCode
    arguments: Mapping[str, Any]

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        return self.code.run(list(self.arguments.values()), inputs)

    def with_layers(self, changed: Arrays, params: Arrays) -> PackedModel:
        """Return the model with some dense layers changed; only these are packed anew.

        `changed` are weights (N, K) by the parameter's name, `params` all weights as
        `DenseCode.pack` took them: layers may be packed together.
        """
        import tvm

        from tvm_sparse.formats.panels import DenseFormat

        arguments, left = dict(self.arguments), set(changed)
        for name, old in self.arguments.items():
            members = self.code.weights_in(name)
            if not name.endswith(".packed") or left.isdisjoint(members):
                continue
            left -= set(members)
            weights = [changed[m] if m in changed else params[m].T for m in members]
            _, depth, rows = old.shape
            (packed,) = DenseFormat(int(rows)).pack([np.concatenate(weights)], int(depth))
            if packed.shape != tuple(old.shape):
                raise BuildError(f"weight {name} has the shape {packed.shape}, not {old.shape}")
            arguments[name] = tvm.runtime.tensor(packed)
        if left:
            # Layers that our kernels do not multiply: rare, so the whole model is packed again.
            new = {name: np.ascontiguousarray(weight.T) for name, weight in changed.items()}
            return self.code.pack({**params, **new})
        return PackedModel(self.code, arguments)


def compile_dense(
    model: Model, spec: CompileSpec, progress: Progress = silent, build: BuildSpec = DENSE
) -> DenseCode:
    """Compile a build of a model in which nothing is sparse, and load the code into this process.

    Of the weights only the shapes matter.

    Raises
    ------
    BuildError, PassError
        From the compiler.
    """
    import tvm
    from tvm import relax

    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.compiler.export import link_library

    threads = choose_threads(spec.threads)
    progress(f"compiling the {build.name} code")
    made = compile_model(model.mod, model.params, spec, build=build)
    with temporary_directory() as folder:
        library = folder / "code.so"
        link_library(made.executable, [], library, made.target.isa)
        machine = relax.VirtualMachine(tvm.runtime.load_module(str(library)), tvm.cpu())
    facts = model.facts
    batch, seq_len = facts.inputs[0].shape[:2]
    return DenseCode(
        input_names=tuple(i.name for i in facts.inputs),
        output_names=tuple(o.name for o in facts.outputs),
        batch=batch,
        seq_len=seq_len,
        _mod=model.mod,
        _build=made,
        _machine=machine,
        _threads=threads,
    )
