"""One build at several shapes, in one table."""

from __future__ import annotations

from collections.abc import Sequence

from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.report.figures import figure, spread_of
from tvm_sparse.report.fitted_table import FittedTable


def render_shapes(records: Sequence[BenchRecord]) -> FittedTable:
    """Return the median latencies of the builds at each shape, and tokens per second.

    Parameters
    ----------
    records : sequence of BenchRecord
        The same builds, at one shape each.
    """
    first = records[0]
    table = FittedTable(f"{first.model.name}, medians at several shapes")
    table.add_column("batch x tokens", bold=True)
    for name in first.builds:
        table.add_column(f"{name} (ms)", right=True)
        table.add_column(f"{name} (tokens/s)", right=True)
    for name in first.others:
        table.add_column("speed-up" if len(first.others) == 1 else f"{name} speed-up", right=True)
    for record in records:
        row = [f"{record.batch}x{record.seq_len}"]
        for build in record.builds.values():
            median, spread = build.latency_ms.median, spread_of(build.round_median_ms)
            row.append(figure(median, spread))
            row.append(f"{record.batch * record.seq_len / (median / 1e3):.0f}")
        speedups = (record.builds[name].speedup for name in record.others)
        row += [f"{found.ratio:.2f}" for found in speedups if found is not None]
        table.add_row(*row)
    return table
