"""A whole study: plan, dense builds, predictions, the measurements that are asked for, answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.config import BenchSpec
from tvm_sparse.whatif.alternatives import measured_int8
from tvm_sparse.whatif.answers import make_answers
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.calibrate import count_missing, measured_ceilings
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.decisive import decisive_points
from tvm_sparse.whatif.grid import Grid, Mode, Point, Setting, Targets
from tvm_sparse.whatif.kernel_job import KernelJob
from tvm_sparse.whatif.measuring import (
    load_baseline,
    measure_point,
    measured_baseline,
    point_identity,
)
from tvm_sparse.whatif.plan import Cost, Inventory, estimate_cost, estimate_weights
from tvm_sparse.whatif.predict import Predictor, make_predictors, needed_jobs
from tvm_sparse.whatif.records import Records
from tvm_sparse.whatif.results import point_result, setting_result
from tvm_sparse.whatif.study import PointResult, Study
from tvm_sparse.whatif.subject import Fill, Subject
from tvm_sparse.whatif.sweep import Kept, load_points, measure_points

Progress = Callable[[str], None]
Predictors = Mapping[tuple[int, int], Predictor]


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
    bench : BenchSpec
        How long each build is measured.
    keep_builds : bool
        Leave sparse builds in the cache.
    measure_again : bool
        Do not rely on measured points that something disturbed: measure them again.
    int8 : bool
        Measure INT8 in ONNX Runtime too, where it is installed and anything is measured.
    command : str
        The command that repeats the study.
    """

    grid: Grid = field(default_factory=Grid)
    mode: Mode = "decide"
    targets: Targets = field(default_factory=Targets)
    bench: BenchSpec = field(default_factory=lambda: BenchSpec(time_s=3.0, warmup_s=0.5))
    keep_builds: bool = False
    measure_again: bool = False
    int8: bool = True
    command: str = ""


def plan_study(subject: Subject, question: Question, records: Records) -> Cost:
    """Return what a study costs, without doing any of it.

    Raises
    ------
    ModelNotFoundError, CheckpointError, FrontendError, ConfigError
        The model is not there or does not allow a sequence length of the grid.
    """
    grid = question.grid
    settings = grid.settings
    shapes = {(s.seq_len, s.batch): s for s in settings}
    known = {s: load_baseline(subject, records, s) for s in settings}
    kernels: int | None = None
    if all(known.values()):
        kernels = sum(
            count_missing(records, _jobs(question, subject.fill, baseline), setting.threads)
            for setting, baseline in known.items()
            if baseline is not None
        )
    measured = 0
    if question.mode != "predict":
        identity = point_identity(subject, question.bench)
        measured = len(load_points(records, grid.points, identity, question.measure_again))
    there = Inventory(
        imports=sum(subject.is_imported(setting) for setting in shapes.values()),
        num_imports=len(shapes),
        baselines=sum(baseline is not None for baseline in known.values()),
        num_settings=len(settings),
        measured_points=measured,
        kernels=kernels,
        num_weights=estimate_weights(subject.source(settings[0]).config),
    )
    return estimate_cost(grid, question.mode, question.bench, there, question.keep_builds)


def run_study(
    subject: Subject, question: Question, records: Records, progress: Progress = lambda line: None
) -> Study:
    """Answer a question.

    Parameters
    ----------
    subject : Subject
        The model.
    question : Question
        What is asked.
    records : Records
        Keeps every measurement.
    progress : callable
        Receives one line a step.

    Raises
    ------
    TvmSparseError
        See `errors`. What was measured before is kept.
    """
    grid, fill = question.grid, subject.fill
    baselines: dict[Setting, Baseline] = {}
    predictors: dict[Setting, Predictors] = {}
    for setting in grid.settings:
        baseline = measured_baseline(subject, records, setting, question.bench, progress)
        baselines[setting] = baseline
        predictors[setting] = make_predictors(
            baseline, _block_shapes(grid), records, fill.include, fill.exclude, progress
        )
    reasons = _points_to_measure(question, predictors)
    kept = _measure(subject, question, records, list(reasons), progress)
    results = [
        point_result(point, predictors[point.setting], kept.get(point), reasons.get(point, ""))
        for point in grid.points
    ]
    ceilings = {
        threads: measured_ceilings(records, threads, progress)
        for threads in sorted(set(grid.threads))
    }
    curves = [
        Curves(setting, baseline.latency_ms, predictors[setting], _of(setting, results))
        for setting, baseline in baselines.items()
    ]
    alternatives: list[dict[str, Any]] = []
    if question.mode != "predict" and question.int8:
        alternatives = [
            measured_int8(subject, records, setting, question.bench, progress)
            for setting in grid.settings
        ]
    record = baselines[grid.settings[0]].record
    return Study(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=question.command,
        mode=question.mode,
        model=record["model"],
        weights=record["weights"],
        spec={
            "model": subject.spec.to_json(),
            "fill": asdict(fill),
            "bench": question.bench.to_json(),
        },
        grid=grid.to_json(),
        targets=asdict(question.targets),
        environment=detect_environment(max(grid.threads)),
        settings=tuple(
            setting_result(baseline, predictors[setting], fill, ceilings[setting.threads])
            for setting, baseline in baselines.items()
        ),
        points=tuple(results),
        answers=tuple(make_answers(curves, question.targets, alternatives)),
        alternatives=tuple(alternatives),
        refused=tuple(records.refused),
    )


def _measure(
    subject: Subject,
    question: Question,
    records: Records,
    points: list[Point],
    progress: Progress,
) -> dict[Point, Kept]:
    """Measure points, and return them with what earlier studies measured of the grid."""
    identity = point_identity(subject, question.bench)
    everything = question.grid.points
    records.note_foreign("point", [identity(point) for point in everything])
    earlier = load_points(records, everything, identity, question.measure_again)
    measured = measure_points(
        records,
        points,
        identity,
        lambda point: measure_point(subject, point, question.bench, question.keep_builds, progress),
        progress,
        question.measure_again,
    )
    return {**earlier, **measured}


def _points_to_measure(
    question: Question, predictors: Mapping[Setting, Predictors]
) -> dict[Point, str]:
    if question.mode == "predict":
        return {}
    if question.mode == "measure":
        return dict.fromkeys(question.grid.points, "all points are measured")
    chosen: dict[Point, str] = {}
    for setting, found in predictors.items():
        chosen |= decisive_points(setting, question.grid.sparsities, found, question.targets)
    return chosen


def _jobs(question: Question, fill: Fill, baseline: Baseline) -> list[KernelJob]:
    return needed_jobs(baseline, _block_shapes(question.grid), fill.include, fill.exclude)


def _block_shapes(grid: Grid) -> list[tuple[int, int]]:
    return sorted(set(grid.block_shapes))


def _of(setting: Setting, results: list[PointResult]) -> list[PointResult]:
    return [result for result in results if result.point.setting == setting]
