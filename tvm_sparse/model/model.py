"""A model in memory: graph, weights, what is known about it, and what it should compute."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from numpy.typing import NDArray

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.model.facts import ModelFacts
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.quantization import Quantization
from tvm_sparse.sizes import block_name

Arrays = Mapping[str, NDArray[Any]]
#: Inputs and outputs, in positional order.
Run: TypeAlias = tuple[Arrays, Arrays]


@dataclass(frozen=True)
class Reference:
    """What a model computed where it comes from, with the weights it had.

    Inputs and outputs are in positional order; `layer_outputs` are results of its layer norms by
    layer, in order, empty when they are not known. `others` are runs of an open model at other
    shapes than its nominal one. `framework` is whose outputs they are.
    """

    params: Arrays
    inputs: Arrays
    outputs: Arrays
    layer_outputs: Arrays = field(default_factory=dict)
    others: tuple[Run, ...] = ()
    framework: str = "TensorFlow"

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, that of `inputs` first."""
        return ((self.inputs, self.outputs), *self.others)


@dataclass(frozen=True, repr=False)
class Model:
    """An imported model. Nothing here changes: other weights make another model.

    Attributes
    ----------
    facts : ModelFacts
        Name, architecture, task, config, where the weights come from, signature.
    mod : tvm.IRModule
        `main(inputs..., weights...)`, see `from_graphdef`.
    params : mapping of str to ndarray
        Weights by parameter name, as they are to run.
    layers : sequence of Layer
        Its dense layers, in the order of their first use.
    flops : int
        Operations of all its products in one inference, those of `layers` among them.
    reference : Reference
        The weights as imported, and what its framework computed with them.
    sparsity : SparsitySpec or None
        How `params` became sparse; None as imported.
    quantization : Quantization or None
        How builds of 8 bits round it; None for the plain way.
    cache : Cache
        Where builds go.
    """

    facts: ModelFacts
    mod: Any
    params: Arrays
    layers: Sequence[Layer]
    flops: int
    reference: Reference
    sparsity: SparsitySpec | None = None
    quantization: Quantization | None = None
    cache: Cache = field(default_factory=Cache)

    @property
    def spec(self) -> ModelSpec:
        """What was asked for, and the micro-batch that was decided."""
        return self.facts.spec

    @property
    def original(self) -> Model:
        """The model with the weights it was imported with."""
        return replace(self, params=self.reference.params, sparsity=None, quantization=None)

    def __repr__(self) -> str:
        return f"Model({', '.join(f'{name}: {text}' for name, text in self._summary().items())})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{name}</th><td>{html.escape(text)}</td></tr>"
            for name, text in self._summary().items()
        )
        return f"<table>{rows}</table>"

    def _summary(self) -> dict[str, str]:
        facts, sparsity = self.facts, self.sparsity
        summary = {
            "model": f"{facts.name} ({facts.architecture}, {facts.task})",
            "inputs": ", ".join(map(str, facts.inputs)),
            "outputs": ", ".join(map(str, facts.outputs)),
            "parameters": f"{sum(value.size for value in self.params.values()):,}",
            "layers": f"{len(self.layers)} dense",
            "weights": str(facts.weights),
        }
        if sparsity is not None:
            blocks = block_name(sparsity.block_shape)
            summary["sparsity"] = f"{sparsity.prune} {blocks} {sparsity.sparsity:g}"
        return summary
