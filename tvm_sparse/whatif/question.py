"""What a study is to answer, and what answering it will cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from tvm_sparse.bench.peers.engine import find_engines
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.quantization import QuantizeScheme
from tvm_sparse.errors import check_word
from tvm_sparse.sources.architecture import estimate_weights
from tvm_sparse.tuning.calibrate import count_missing
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.records import Records
from tvm_sparse.whatif.alternatives import count_unmeasured
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.economy import Pricing
from tvm_sparse.whatif.fidelity import FidelityQuestion
from tvm_sparse.whatif.grid import Grid, Mode, Targets
from tvm_sparse.whatif.measuring import load_baseline, point_identity
from tvm_sparse.whatif.plan import Cost, Inventory, estimate_cost
from tvm_sparse.whatif.predict import needed_jobs
from tvm_sparse.whatif.subject import Fill, Subject
from tvm_sparse.whatif.sweep import load_points

#: The engine that people turn to first, as they do: INT8 without pruning.
DEFAULT_ENGINES = ("onnxruntime-int8",)


@dataclass(frozen=True)
class Question:
    """What a study is to answer.

    Parameters
    ----------
    grid : Grid
        Which points.
    mode : {"decide", "predict", "measure"}
        Whether the points that decide, none, or all are measured.
    targets : Targets
        What a sparsity is looked for.
    fill : Fill
        How the points become sparse.
    pricing : Pricing
        What cores cost.
    fidelity : FidelityQuestion or None
        On what texts the fidelity of real pruning is measured; None leaves that out.
    bench : BenchSpec
        How long each build is measured.
    keep_builds : bool
        Leave sparse builds in the cache.
    measure_again : bool
        Do not rely on measurements that something disturbed: make them again.
    against : tuple of str
        Other engines that are measured too, where they are installed and anything is measured.
    scheme : str
        What builds are rounded to besides, see `config.QuantizeScheme`; empty for nothing.
    command : str
        The command that repeats the study.
    """

    grid: Grid = field(default_factory=Grid)
    mode: Mode = "decide"
    targets: Targets = field(default_factory=Targets)
    fill: Fill = field(default_factory=Fill)
    pricing: Pricing = field(default_factory=Pricing)
    fidelity: FidelityQuestion | None = field(default_factory=FidelityQuestion)
    bench: BenchSpec = field(default_factory=lambda: BenchSpec(time_s=3.0, warmup_s=0.5))
    keep_builds: bool = False
    measure_again: bool = False
    against: tuple[str, ...] = DEFAULT_ENGINES
    scheme: QuantizeScheme | Literal[""] = ""
    command: str = ""

    def __post_init__(self) -> None:
        check_word("mode", self.mode, get_args(Mode))
        find_engines(self.against)
        check_word("quantize", self.scheme, ("", *get_args(QuantizeScheme)))


def plan_study(subject: Subject, question: Question, records: Records) -> Cost:
    """Return what a study costs, without doing any of it.

    Raises
    ------
    ModelNotFoundError, CheckpointError, FrontendError, ConfigError
        The model is not there or does not allow a sequence length of the grid.
    """
    grid = question.grid
    settings = grid.settings
    imports = {subject.model_spec(s): s for s in settings}
    known = {s: load_baseline(subject, records, s) for s in settings}
    kernels: int | None = None
    if all(known.values()):
        kernels = sum(
            count_missing(records, _jobs(question, subject.fill, baseline), setting.threads)
            for setting, baseline in known.items()
            if baseline is not None
        )
    measured = engines = 0
    if question.mode != "predict":
        engines = sum(
            count_unmeasured(
                subject,
                records,
                setting,
                question.against,
                question.bench,
                question.measure_again,
            )
            for setting in settings
        )
        identity = point_identity(subject, question.bench)
        measured = len(load_points(records, grid.points, identity, question.measure_again))
    there = Inventory(
        imports=sum(subject.is_imported(setting) for setting in imports.values()),
        num_imports=len(imports),
        baselines=sum(baseline is not None for baseline in known.values()),
        num_settings=len(settings),
        measured_points=measured,
        kernels=kernels,
        engines=engines,
        num_weights=estimate_weights(subject.source(settings[0]).config),
    )
    return estimate_cost(grid, question.mode, question.bench, there, question.keep_builds)


def _jobs(question: Question, fill: Fill, baseline: Baseline) -> list[KernelJob]:
    return needed_jobs(baseline, question.grid.unique_block_shapes, fill.include, fill.exclude)
