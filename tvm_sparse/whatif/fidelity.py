"""What the sparsities of a study would cost in fidelity: real pruning instead of random zeros.

Speed depends on how many blocks are zero, fidelity on which. So the points keep their speeds, and
each gets the fidelity that a pruning method reaches at its sparsity and block shape.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np

from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.model.model import Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.pruning.calibration import built_in_texts
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.sparsity.stats import come_pruned
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.text.texts import read_texts, take_evenly
from tvm_sparse.text.tokens import load_tokenizer
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.doubts import tellable
from tvm_sparse.whatif.fidelity_answer import fidelity_answer
from tvm_sparse.whatif.fidelity_points import fidelity_points, places_of
from tvm_sparse.whatif.grid import Mode
from tvm_sparse.whatif.study import Study, StudyFidelity
from tvm_sparse.whatif.subject import Subject

#: Texts that a model is judged on, where there are more.
DEFAULT_TEXTS = 128


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
        places_of(points, study.rounded[0].scheme if study.rounded else ""),
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
