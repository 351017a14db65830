"""Prune a model in many ways, and judge each result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.fidelity.forward import DenseCode, compile_dense
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.formats.builds import build_of
from tvm_sparse.formats.quantized import WORD, grade_of
from tvm_sparse.formats.registry import rounds_blocks
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.pruning.prune_model import prune_model
from tvm_sparse.sizes import block_name
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.target import resolve_target
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.tokens import Tokens, load_tokenizer
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.rounded_point import NO_BLOCKS, rounded_label
from tvm_sparse.whatif.study import FidelityPoint


@dataclass(frozen=True)
class Measures:
    """What is kept of a comparison of a pruned model with the dense one, see `views.compare`."""

    measures: dict[str, float]


class Place(NamedTuple):
    """What is judged: a block shape (bs_r, bs_c), a block sparsity 0..1, and a scheme of 8 bits."""

    block: tuple[int, int]
    sparsity: float
    scheme: str = ""


def places_of(points: Iterable[tuple[tuple[int, int], float]], scheme: str) -> list[Place]:
    """Return where a study is judged: its points, and the same rounded as a scheme says."""
    places = [Place(*point) for point in points]
    if scheme:
        places += [Place(*one[:2], scheme) for one in places if _rounds_as_dense(one.block, scheme)]
        places.append(Place(NO_BLOCKS, 0.0, scheme))
    return [place for place in places if place.sparsity > 0 or place.block == NO_BLOCKS]


def _rounds_as_dense(block: tuple[int, int], scheme: str) -> bool:
    """Return whether a dense build, which is what is judged, rounds weights in such blocks alike.

    Words that kernels put together from narrower blocks are others than its own, to which only
    sums of 32 bits are indifferent.
    """
    if not rounds_blocks(build_of(True, scheme), block):
        return False
    return block[1] % WORD == 0 or grade_of(resolve_target()).span == 0


def fidelity_points(
    model: Model,
    methods: Sequence[str],
    places: Sequence[Place],
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
    places : sequence of Place
        What is judged; float32 without zeros is what it is judged against, and left out.
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
    wanted = [(method, *place) for method in methods for place in places if place.sparsity > 0]
    wanted += [("", *place) for place in places if place.scheme and not place.sparsity]
    for index, (method, block, sparsity, rounding) in enumerate(wanted):
        label = rounded_label(block) if rounding else block_name(block)
        where: dict[str, Any] = {"method": method, "block": label, "sparsity": sparsity}
        known_by = {**basis, **where, **({"scheme": rounding} if rounding else {})}
        kept = records.load("fidelity", known_by, Measures)
        if kept is None:
            progress(f"fidelity {index + 1} of {len(wanted)}: {method} {label} at {sparsity:g}")
            judge = judge or _Judge(model, tokens, task, threads)
            fill = identity.get("fill", {})
            spec = None
            if method:
                spec = PruneSpec(
                    method=method,  # type: ignore[arg-type]  # checked by the spec itself
                    sparsity=sparsity,
                    block_shape=block,
                    include=tuple(fill.get("include", ())),
                    exclude=tuple(fill.get("exclude", ())),
                )
            kept = Measures(judge.measures(spec, rounding))
            records.save("fidelity", known_by, kept, {"model": asdict(facts.spec)})
        fidelity = kept.measures.get(measure)
        found.append(FidelityPoint(**where, fidelity=fidelity, measures=kept.measures))
    return found


class _Judge:
    """Prunes one model and compares it with itself; the code of each build is compiled once."""

    def __init__(self, model: Model, tokens: Tokens, task: str, threads: int | None) -> None:
        self.model, self.tokens, self.task, self.threads = model, tokens, task, threads
        self.codes: dict[str, DenseCode] = {}
        self.collector = MomentCollector(model, threads)
        self.reference = self._view(model.params)

    def _view(self, params: Mapping[str, Any], scheme: str = "") -> View:
        if scheme not in self.codes:
            spec, build = CompileSpec(threads=self.threads), build_of(False, scheme)
            self.codes[scheme] = compile_dense(self.model, spec, build=build)
        code = self.codes[scheme]
        return collect(code.pack(params), self.tokens, code.input_names, code.batch, self.task)

    def measures(self, spec: PruneSpec | None, scheme: str = "") -> dict[str, float]:
        """Prune by a spec, if there is one, round, and return all measures."""
        params = self.model.params
        if spec is not None:
            pruned = prune_model(self.model, spec, threads=self.threads, collector=self.collector)
            params = pruned.params
        return compare(self.task, self.reference, self._view(params, scheme))
