"""A whole study: plan, dense builds, predictions, the measurements that are asked for, answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timezone

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.config.micro_batches import nominal_length
from tvm_sparse.progress import Progress, silent
from tvm_sparse.tuning.calibrate import measured_ceilings
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.alternatives import measured_engines
from tvm_sparse.whatif.answers import make_answers
from tvm_sparse.whatif.baseline import Baseline
from tvm_sparse.whatif.curves import Curves
from tvm_sparse.whatif.decisive import decisive_points
from tvm_sparse.whatif.fidelity import add_fidelity, check_judged
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.measuring import (
    load_baseline,
    measure_point,
    measured_baseline,
    point_identity,
)
from tvm_sparse.whatif.point_results import Measurement
from tvm_sparse.whatif.predict import Predictor, make_predictors
from tvm_sparse.whatif.question import Question
from tvm_sparse.whatif.results import point_results, setting_result
from tvm_sparse.whatif.rounded import bent, measured_rounded, rounded_points, worth_measuring
from tvm_sparse.whatif.rounded_point import RoundedPoint
from tvm_sparse.whatif.rounding_answer import rounding_answer
from tvm_sparse.whatif.sparse_builds import SparseBuilds
from tvm_sparse.whatif.study import Alternative, Study
from tvm_sparse.whatif.subject import Subject
from tvm_sparse.whatif.sweep import Kept, load_points, measure_points
from tvm_sparse.whatif.verdict import verdict_answer

Predictors = Mapping[tuple[int, int], Predictor]


def run_study(
    subject: Subject, question: Question, records: Records, progress: Progress = silent
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
    if question.fidelity is not None and question.fidelity.text is not None:
        check_judged(subject.load(_judged_at(grid.settings[0])))
    baselines: dict[Setting, Baseline] = {}
    predictors: dict[Setting, Predictors] = {}
    for setting in grid.settings:
        baseline = measured_baseline(
            subject, records, setting, question.bench, progress, question.measure_again
        )
        baselines[setting] = baseline
        predictors[setting] = make_predictors(
            baseline,
            grid.unique_block_shapes,
            records,
            fill.include,
            fill.exclude,
            progress,
            question.measure_again,
        )
    reasons = _points_to_measure(question, predictors)
    kept = _measure(subject, question, records, list(reasons), progress)
    results = {
        setting: point_results(
            [point for point in grid.points if point.setting == setting],
            predictors[setting],
            kept,
            reasons,
        )
        for setting in grid.settings
    }
    ceilings = {
        threads: measured_ceilings(records, threads, progress)
        for threads in sorted(set(grid.threads))
    }
    dense = [
        setting_result(baseline, predictors[setting], fill, ceilings[setting.threads])
        for setting, baseline in baselines.items()
    ]
    curves = [Curves(found, predictors[found.setting], results[found.setting]) for found in dense]
    alternatives: list[Alternative] = []
    if question.mode != "predict":
        for setting in grid.settings:
            alternatives += measured_engines(
                subject,
                records,
                setting,
                question.against,
                question.bench,
                progress,
                question.measure_again,
            )
    rounded: list[RoundedPoint] = []
    if question.scheme:
        for baseline in baselines.values():
            rounded += _rounded(subject, question, records, baseline, progress)
    record = baselines[grid.settings[0]].record
    study = Study(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=question.command,
        mode=question.mode,
        model=record.model,
        weights=record.weights,
        spec={
            "model": asdict(subject.spec),
            "fill": asdict(fill),
            "bench": asdict(question.bench),
        },
        grid=grid.to_json(),
        targets=question.targets,
        pricing=question.pricing,
        environment=detect_environment(max(grid.threads)),
        settings=tuple(dense),
        points=tuple(result for found in results.values() for result in found),
        answers=(
            *make_answers(curves, question.targets, alternatives),
            *(rounding_answer(curve, rounded) for curve in curves if rounded),
        ),
        doubts=tuple(doubt for curve in curves for doubt in curve.doubts),
        alternatives=tuple(alternatives),
        rounded=tuple(rounded),
        refused=tuple(records.refused),
    )
    setting = _judged_at(grid.settings[0])
    if question.fidelity is not None and question.fidelity.applies(question.mode, record):
        study = add_fidelity(study, subject, setting, question.fidelity, records, progress)
    first = [answer for answer in study.answers if answer.topic == "reliability"]
    others = [answer for answer in study.answers if answer not in first]
    return replace(study, answers=(*first, verdict_answer(study), *others))


def _rounded(
    subject: Subject,
    question: Question,
    records: Records,
    baseline: Baseline,
    progress: Progress,
) -> list[RoundedPoint]:
    """Return the builds of a setting with products of 8 bits, those that decide measured."""
    grid, fill = question.grid, subject.fill
    points = rounded_points(
        baseline,
        grid.unique_block_shapes,
        grid.sparsities,
        question.scheme,
        records,
        (fill.include, fill.exclude),
        progress,
    )
    chosen = {
        "predict": [],
        "decide": worth_measuring(points),
        "measure": points,
    }[question.mode]
    return bent(
        [
            measured_rounded(
                subject, records, point, question.bench, progress, question.measure_again
            )
            if point in chosen
            else point
            for point in points
        ]
    )


def _measure(
    subject: Subject,
    question: Question,
    records: Records,
    points: list[Point],
    progress: Progress,
) -> dict[Point, Kept]:
    """Measure points, and return them with what earlier studies measured of the grid."""
    if question.grid.is_open:  # all shapes of one build, then the next
        points.sort(key=lambda point: (point.block_shape, point.sparsity))
    identity = point_identity(subject, question.bench)
    everything = question.grid.points
    records.note_foreign("point", [identity(point) for point in everything])
    earlier = load_points(records, everything, identity, question.measure_again)

    # The least that the dense build of a setting ever took.
    pace_ms: dict[Setting, float] = {}

    def note(setting: Setting, dense_ms: float) -> None:
        pace_ms[setting] = min(dense_ms, pace_ms.get(setting, dense_ms))

    for setting in {point.setting for point in points}:
        if (baseline := load_baseline(subject, records, setting)) is not None:
            note(setting, baseline.latency_ms)
    for point, kept in earlier.items():
        note(point.setting, kept.measurement.dense_latency_ms)

    with SparseBuilds(subject, question.keep_builds) as builds:

        def measure(point: Point) -> Measurement:
            measurement = measure_point(
                *(subject, builds, point, question.bench, progress),
                pace_ms=pace_ms.get(point.setting),
            )
            note(point.setting, measurement.dense_latency_ms)
            return measurement

        measured = measure_points(
            records, points, identity, measure, progress, question.measure_again
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
    if question.grid.is_open:  # a build that one shape asks for is there for all
        builds = {(point.block_shape, point.sparsity): why for point, why in chosen.items()}
        everywhere = {
            Point(setting, *build): why for build, why in builds.items() for setting in predictors
        }
        return everywhere | chosen
    return chosen


def _judged_at(setting: Setting) -> Setting:
    """Return where texts are judged: an open build's model is imported for a short text besides."""
    if setting.limits is None:
        return setting
    return Setting(nominal_length(setting.limits[1]), 1, setting.threads, 1)
