"""What builds and engines answer in all, by the number of streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm_sparse.bench.throughput import StreamsRecord
from tvm_sparse.report.figures import figure, spread_of
from tvm_sparse.report.fitted_table import FittedTable

_FINEST_RATIO = 0.01


def render_streams(
    measured: Mapping[str, Sequence[StreamsRecord]], over: str | None = None
) -> FittedTable:
    """Return the table: a line for each number of streams and build.

    Parameters
    ----------
    measured : mapping of str to sequence of StreamsRecord
        By name of the build or engine; those of which nothing was measured are left out.
    over : str or None
        Of which one the throughputs of the others are told as multiples.
    """
    table = FittedTable("Throughput: all streams busy")
    table.add_column("streams x threads", bold=True)
    table.add_column("build")
    table.add_column("items per second", right=True)
    if over is not None:
        table.add_column(f"vs {over}", right=True)
    for name, spare in (("median (ms)", 1), ("p90 (ms)", 3), ("p99 (ms)", 2)):
        table.add_column(name, right=True, spare=spare)
    found = {name: records for name, records in measured.items() if records}
    counts = dict.fromkeys(one.streams for records in found.values() for one in records)
    for count in counts:
        here = {n: one for n, records in found.items() for one in records if one.streams == count}
        for index, (name, one) in enumerate(here.items()):
            mark = " !" if one.disturbance.is_high else ""
            row = [f"{one.streams} x {one.threads}" if not index else "", name]
            row.append(f"{figure(one.items_per_s, spread_of(one.round_items_per_s))}{mark}")
            if over is not None:
                row.append(_ratio(one, here.get(over)))
            latency = one.latency_ms
            row += [f"{value:.4g}" for value in (latency.median, latency.p90, latency.p99)]
            table.add_row(*row)
    return table


def _ratio(one: StreamsRecord, over: StreamsRecord | None) -> str:
    """Return a ratio with the digits that the paired rounds agree on."""
    if over is None:
        return "-"
    pairs = zip(one.round_items_per_s, over.round_items_per_s, strict=False)
    spread = spread_of([mine / theirs for mine, theirs in pairs])
    return f"{figure(one.items_per_s / over.items_per_s, max(spread, _FINEST_RATIO))}x"
