"""What the sparsities of a study would cost in fidelity: real pruning instead of random zeros.

Speed depends on how many blocks are zero, fidelity on which. So the points keep their speeds, and
each gets the fidelity that a pruning method reaches at its sparsity and block shape.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.config import CompileSpec
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.forward import DenseCode, compile_dense
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.pruning.calibration import built_in_texts
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.pruning.prune_model import prune_model
from tvm_sparse.sizes import block_name
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.sparsity.stats import come_pruned
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.texts import read_texts, take_evenly
from tvm_sparse.text.tokens import Tokens, load_tokenizer
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.doubts import tellable
from tvm_sparse.whatif.grid import Mode
from tvm_sparse.whatif.point_results import PointResult
from tvm_sparse.whatif.study import Answer, FidelityPoint, Study, StudyFidelity
from tvm_sparse.whatif.subject import Subject

#: Texts that a model is judged on, where there are more.
DEFAULT_TEXTS = 128
#: Fidelities for which the fastest point is told.
LEVELS = (0.99, 0.95, 0.9)
#: The rooms whose code decides what is pruned and how it is judged.


@dataclass(frozen=True)
class FidelityQuestion:
    """On what, and how pruned, fidelity is measured.

    Parameters
    ----------
    text : str or None
        File with one text a line; None takes the built-in text, where the model can be judged at
        all, and the points that beat dense.
    methods : tuple of str
        Methods of `tvm-sparse prune`.
    limit : int
        Use at most so many texts, spread over the file.
    """

    text: str | None = None
    methods: tuple[str, ...] = ("magnitude",)
    limit: int = DEFAULT_TEXTS

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ConfigError(f"limit {self.limit} given: it must be at least 1")

    def applies(self, mode: Mode, record: BenchRecord) -> bool:
        """Whether it is to be answered: a file always is, the built-in text where it can be."""
        if self.text is not None:
            return True
        if mode == "predict" or not record.weights.trained:
            return False
        try:
            on_texts(record.model.task)
            load_tokenizer(record.weights.source)
        except (ConfigError, InputError):
            return False
        return True


@dataclass(frozen=True)
class Measures:
    """What is kept of a comparison of a pruned model with the dense one, see `views.compare`."""

    measures: dict[str, float]


def check_judged(model: Model) -> None:
    """Refuse to judge pruning on a model that it cannot be judged on.

    Raises
    ------
    ConfigError
        The model's weights are seeded, or pruned already.
    """
    facts = model.facts
    if not facts.weights.trained:
        raise ConfigError(
            f"--fidelity given, but the weights of {facts.name} are made up "
            f"({facts.weights}): only trained weights have a fidelity"
        )
    if share := _pruned_share(model):
        raise ConfigError(
            f"--fidelity given, but {facts.name} is pruned already ({share:.1%} of its encoder's "
            "weights are zero): what pruning costs is told against a dense model; give the one it "
            f"was pruned from, or see `tvm-sparse evaluate {facts.name} --against` that one"
        )


def _pruned_share(model: Model) -> float:
    """Return the share of zeros of a model that comes pruned, 0 for one that does not."""
    refusals = eligible_layers(model.layers, (1, 1))
    eligible = [layer.load(model.params) for layer in model.layers if not refusals[layer.name]]
    if not come_pruned(eligible):
        return 0.0
    zeros = sum(weight.size - np.count_nonzero(weight) for weight in eligible)
    return float(zeros / sum(weight.size for weight in eligible))


def add_fidelity(
    study: Study,
    subject: Subject,
    setting: Setting,
    question: FidelityQuestion,
    records: Records,
    progress: Progress = silent,
) -> Study:
    """Return a study with the fidelity of every sparsity and block shape of its grid.

    Parameters
    ----------
    study : Study
        Not changed.
    subject : Subject
        Its model.
    setting : Setting
        The input shape at which the model is judged.
    question : FidelityQuestion
        Texts and methods.
    records : Records
        Keeps every point: an interrupted study goes on, another one uses it again.
    progress : callable
        Receives one line a step.

    Raises
    ------
    ConfigError
        Its task cannot be judged on texts.
    InputError
        The text or the tokenizer cannot be used.
    TvmSparseError
        From pruning.
    """
    model = subject.load(setting)
    if question.text is None and _pruned_share(model):
        return study
    speeds = tellable(study.points, study.doubts)
    built_in = question.text is None
    texts = built_in_texts() if question.text is None else read_texts(question.text)
    texts = take_evenly(texts, question.limit)
    asked = [p for p in speeds if p.speedup > 1] if built_in else study.points
    points = sorted({(p.point.block_shape, p.point.sparsity) for p in asked})
    if not points:  # nothing is known to beat dense: there is no loss worth telling
        return study
    found = fidelity_points(
        model,
        question.methods,
        points,
        texts,
        records,
        {"ir": subject.import_key(setting), "fill": asdict(subject.fill)},
        setting.threads,
        progress,
    )
    judged = on_texts(model.facts.task)
    origin = f"{question.text}"
    if built_in:
        origin = "the built-in text, which is a small sample (`--fidelity FILE` takes yours)"
    kept = [answer for answer in study.answers if answer.topic != "accuracy"]
    return replace(
        study,
        answers=(*kept, fidelity_answer(speeds, found, judged.meaning)),
        fidelity=StudyFidelity(
            judged.measure,
            f"{judged.meaning}, pruned model against dense, on {len(texts)} texts of "
            f"{origin}; speeds are those of random patterns of the same sparsity",
            tuple(found),
        ),
    )


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


def fidelity_answer(
    results: Sequence[PointResult], found: Sequence[FidelityPoint], meaning: str
) -> Answer:
    """Say how fast the model can get at how little loss.

    Parameters
    ----------
    results : sequence of PointResult
        The points whose speeds can be told.
    found : sequence of FidelityPoint
        As `fidelity_points` returns them.
    meaning : str
        What the fidelity is.
    """
    speeds: dict[tuple[str, float], float] = {}
    for result in results:
        where = (block_name(result.point.block_shape), result.point.sparsity)
        speeds[where] = max(speeds.get(where, 0.0), result.speedup)
    known = [
        (point, point.fidelity, speed)
        for point in found
        if point.fidelity is not None and (speed := speeds.get((point.block, point.sparsity)))
    ]
    facts: dict[str, Any] = {"meaning": meaning, "fastest": {}}
    sentences = []
    for least in LEVELS:
        good = [(p, f, speed) for p, f, speed in known if f >= least and speed > 1]
        if good:
            best, fidelity, speed = max(good, key=lambda found: found[2])
            facts["fastest"][f"{least:g}"] = {
                "method": best.method,
                "block": best.block,
                "sparsity": best.sparsity,
                "fidelity": fidelity,
                "speedup": speed,
            }
            sentences.append(f"{least:g} or more: {_describe(best)}, {speed:.2f}x dense")
    if not sentences:
        closest = sorted(known, key=lambda found: -found[1])[:1]
        ending = "".join(
            f"; the closest is {_describe(point)}, {fidelity:.3f}" for point, fidelity, _ in closest
        )
        text = f"No point that beats dense keeps a fidelity ({meaning}) of {LEVELS[-1]:g}{ending}."
    else:
        text = f"The fastest by the fidelity it keeps ({meaning}): {'; '.join(sentences)}."
    return Answer(
        "accuracy",
        f"{text} Pruned without training afterwards: `tvm-sparse prune --finetune distill` gets "
        "some of the loss back.",
        facts,
    )


def _describe(point: FidelityPoint) -> str:
    return f"{point.method} {point.block} at {point.sparsity:.1%}"


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
