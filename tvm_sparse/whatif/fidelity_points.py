"""Prune a model in many ways, and judge each result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tvm_sparse.config import CompileSpec
from tvm_sparse.fidelity.forward import DenseCode, compile_dense
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.pruning.prune_model import prune_model
from tvm_sparse.sizes import block_name
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.tokens import Tokens, load_tokenizer
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.study import FidelityPoint


@dataclass(frozen=True)
class Measures:
    """What is kept of a comparison of a pruned model with the dense one, see `views.compare`."""

    measures: dict[str, float]


def fidelity_points(
    model: Model,
    methods: Sequence[str],
    points: Sequence[tuple[tuple[int, int], float]],
    texts: Sequence[str],
    records: Records,
    identity: Mapping[str, Any],
    threads: int | None = None,
    progress: Progress = silent,
) -> list[FidelityPoint]:
    """Prune a model in many ways and compare each result with the dense one.

    Parameters
    ----------
    model : Model
        With a checkpoint's weights; not changed.
    methods : sequence of str
        Methods of `tvm-sparse prune`.
    points : sequence of ((int, int), float)
        Block shapes (bs_r, bs_c) and block sparsities 0..1.
    texts : sequence of str
        What it is judged on.
    records : Records
        Keeps the results.
    identity : mapping
        What the model's weights and the choice of layers are known by; JSON-ready.
    threads : int, optional
        Threads to run on.
    progress : callable
        Receives one line a step.

    Raises
    ------
    TvmSparseError
        From tokenising, compiling and pruning.
    """
    facts, task = model.facts, model.facts.task
    measure = on_texts(task).measure
    tokenizer = load_tokenizer(facts.weights.source)
    tokens = tokenizer.encode(texts, facts.spec.seq_len, facts.config.get("vocab_size"))
    basis = {
        **identity,
        "texts": hashlib.sha256("\n".join(texts).encode()).hexdigest(),
        "code": code_fingerprint("fidelity"),
    }
    judge: _Judge | None = None
    found = []
    wanted = [(method, block, s) for method in methods for block, s in points if s > 0]
    for index, (method, block, sparsity) in enumerate(wanted):
        where: dict[str, Any] = {
            "method": method,
            "block": block_name(block),
            "sparsity": sparsity,
        }
        kept = records.load("fidelity", {**basis, **where}, Measures)
        if kept is None:
            progress(
                f"fidelity {index + 1} of {len(wanted)}: {method}, {where['block']} at {sparsity:g}"
            )
            judge = judge or _Judge(model, tokens, task, threads)
            fill = identity.get("fill", {})
            spec = PruneSpec(
                method=method,  # type: ignore[arg-type]  # checked by the spec itself
                sparsity=sparsity,
                block_shape=block,
                include=tuple(fill.get("include", ())),
                exclude=tuple(fill.get("exclude", ())),
            )
            kept = Measures(judge.measures(spec))
            records.save("fidelity", {**basis, **where}, kept, {"model": asdict(facts.spec)})
        fidelity = kept.measures.get(measure)
        found.append(FidelityPoint(**where, fidelity=fidelity, measures=kept.measures))
    return found


class _Judge:
    """Prunes one model and compares it with itself; the code is compiled once."""

    def __init__(self, model: Model, tokens: Tokens, task: str, threads: int | None) -> None:
        self.model, self.tokens, self.task, self.threads = model, tokens, task, threads
        self.code: DenseCode = compile_dense(model, CompileSpec(threads=threads))
        self.collector = MomentCollector(model, threads)
        self.reference = self._view(model.params)

    def _view(self, params: Mapping[str, Any]) -> View:
        code = self.code
        forward = code.pack(params)
        return collect(forward, self.tokens, code.input_names, code.batch, self.task)

    def measures(self, spec: PruneSpec) -> dict[str, float]:
        """Prune by a spec and return all measures."""
        pruned = prune_model(self.model, spec, threads=self.threads, collector=self.collector)
        return compare(self.task, self.reference, self._view(pruned.params))
