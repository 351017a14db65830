"""Metrics in Prometheus' text format, under the names that Triton gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tvm_sparse.serve.statistics import ServerCounts, Statistics

_Value = Callable[[Statistics], float]
#: Name, type, help, value.
_METRICS: tuple[tuple[str, str, str, _Value], ...] = (
    (
        *("nv_inference_request_success", "counter", "Requests answered"),
        lambda one: one.success.count,
    ),
    (
        *("nv_inference_count", "counter", "Texts and sequences of requests answered"),
        lambda one: one.items,
    ),
    (
        *("nv_inference_exec_count", "counter", "Runs of the model"),
        lambda one: one.runs,
    ),
    (
        *("nv_inference_request_duration_us", "counter", "Time of requests answered"),
        lambda one: one.success.ns // 1000,
    ),
    (
        *("nv_inference_queue_duration_us", "counter", "Of that, waiting"),
        lambda one: one.queue.ns // 1000,
    ),
    (
        *("nv_inference_compute_infer_duration_us", "counter", "Of that, in runs"),
        lambda one: one.infer.ns // 1000,
    ),
    (
        *("nv_inference_compute_input_duration_us", "counter", "The rest of it"),
        lambda one: one.other.ns // 1000,
    ),
    (
        *("nv_inference_pending_request_count", "gauge", "Requests waiting or being answered"),
        lambda one: one.pending,
    ),
    (
        *("tvm_sparse_queue_length", "gauge", "Of those, that no run has taken up"),
        lambda one: max(0, one.pending - one.running),
    ),
    (
        *("tvm_sparse_in_flight_requests", "gauge", "Requests in runs"),
        lambda one: one.running,
    ),
    (
        *("tvm_sparse_tokens_total", "counter", "Tokens of the sequences in all runs"),
        lambda one: one.tokens,
    ),
    (
        *("tvm_sparse_padding_tokens_total", "counter", "Tokens computed beside them"),
        lambda one: one.padding,
    ),
    (
        *("tvm_sparse_padding_share", "gauge", "Share of these in all tokens computed"),
        lambda one: round(one.padding / max(1, one.tokens + one.padding), 6),
    ),
    (
        *("tvm_sparse_reload_success", "counter", "Newer models that took over"),
        lambda one: one.reloads,
    ),
    (
        *("tvm_sparse_reload_failure", "counter", "Newer models that could not be loaded"),
        lambda one: one.reload_failures,
    ),
)
_FAILURES = "nv_inference_request_failure"
_CONFIG = "tvm_sparse_config_reload_failure"
_REASONS = ("REJECTED", "CANCELED", "BACKEND", "OTHER")


def write_metrics(counts: ServerCounts) -> bytes:
    """Return the metrics of a server."""
    return "".join(f"{line}\n" for line in _lines(counts)).encode()


def _lines(counts: ServerCounts) -> Iterator[str]:
    for name, kind, described, value in _METRICS:
        yield f"# HELP {name} {described}"
        yield f"# TYPE {name} {kind}"
        for model, one in counts.models.items():
            yield f'{name}{{model="{model}",version="1"}} {value(one)}'
    yield f"# HELP {_FAILURES} Requests refused"
    yield f"# TYPE {_FAILURES} counter"
    for model, one in counts.models.items():
        for reason in _REASONS:
            labels = f'model="{model}",version="1",reason="{reason}"'
            yield f"{_FAILURES}{{{labels}}} {one.failures[reason]}"
    yield f"# HELP {_CONFIG} Changed configurations that could not be used"
    yield f"# TYPE {_CONFIG} counter"
    yield f"{_CONFIG} {counts.config_failures}"
