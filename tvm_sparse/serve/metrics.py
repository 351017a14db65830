"""Metrics in Prometheus' text format, under the names that Triton gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from tvm_sparse.serve.served_model import ServedModel

_Value = Callable[[ServedModel], float]
#: Name, type, help, value.
_METRICS: tuple[tuple[str, str, str, _Value], ...] = (
    (
        *("nv_inference_request_success", "counter", "Requests answered"),
        lambda model: model.statistics.success.count,
    ),
    (
        *("nv_inference_count", "counter", "Texts and sequences of requests answered"),
        lambda model: model.statistics.items,
    ),
    (
        *("nv_inference_exec_count", "counter", "Runs of the model"),
        lambda model: model.runs,
    ),
    (
        *("nv_inference_request_duration_us", "counter", "Time of requests answered"),
        lambda model: model.statistics.success.ns // 1000,
    ),
    (
        *("nv_inference_queue_duration_us", "counter", "Of that, waiting"),
        lambda model: model.statistics.queue.ns // 1000,
    ),
    (
        *("nv_inference_compute_infer_duration_us", "counter", "Of that, in runs"),
        lambda model: model.statistics.infer.ns // 1000,
    ),
    (
        *("nv_inference_compute_input_duration_us", "counter", "The rest of it"),
        lambda model: model.statistics.other.ns // 1000,
    ),
    (
        *("nv_inference_pending_request_count", "gauge", "Requests waiting or being answered"),
        lambda model: model.statistics.pending,
    ),
    (
        *("tvm_sparse_ready", "gauge", "Whether the model has answered once"),
        lambda model: model.ready,
    ),
)
_FAILURES = "nv_inference_request_failure"
_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


def write_metrics(models: Iterable[ServedModel]) -> bytes:
    """Return the metrics of all models."""
    return "".join(f"{line}\n" for line in _lines(list(models))).encode()


def _lines(models: list[ServedModel]) -> Iterator[str]:
    for name, kind, described, value in _METRICS:
        yield f"# HELP {name} {described}"
        yield f"# TYPE {name} {kind}"
        for model in models:
            yield f'{name}{{model="{model.name}",version="1"}} {value(model):d}'
    yield f"# HELP {_FAILURES} Requests refused"
    yield f"# TYPE {_FAILURES} counter"
    for model in models:
        for reason in _REASONS:
            labels = f'model="{model.name}",version="1",reason="{reason}"'
            yield f"{_FAILURES}{{{labels}}} {model.statistics.failures[reason]}"
