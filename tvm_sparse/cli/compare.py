"""`tvm-sparse compare`: an exported build beside other engines on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvm_sparse.cli.options.builds import threads_option
from tvm_sparse.cli.options.extent import shape_option
from tvm_sparse.cli.options.model import complete_model
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.options.quantize import quantize_option
from tvm_sparse.cli.options.streams import streams_option
from tvm_sparse.cli.output_paths import check_cache_directory, check_output_file
from tvm_sparse.config.bench import bench_spec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.dependencies import check_dependencies
from tvm_sparse.host import threads_here

if TYPE_CHECKING:
    from tvm_sparse.bench.peers.record import PeersRecord

#: The fp32 engines people deploy with; others are a matter of `--against`.
_USUAL = "onnxruntime,openvino,torch"


@click.command("compare")
@click.argument("directory", type=click.Path(), metavar="DIR")
@click.option(
    "--against",
    default=_USUAL,
    show_default=True,
    metavar="ENGINES",
    help="Comma-separated: onnxruntime, onnxruntime-int8, onnxruntime-int8-channel, openvino, "
    "openvino-int8, torch, torch-compile, tensorflow.",
)
@click.option(
    "--model",
    metavar="NAME|HUB_ID|DIR",
    shell_complete=complete_model,
    help="The model DIR was made from, if it is no longer where it was.",
)
@shape_option
@threads_option
@streams_option
@click.option(
    "--time",
    "time_s",
    type=float,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds of measuring per engine.",
)
@quantize_option
@cache_option
@json_option("Write the record here: raw samples, versions, environment.")
@click.option(
    "--chart",
    type=click.Path(),
    metavar="FILE",
    help="Draw the medians here: as SVG if the name ends so, as PNG otherwise.",
)
@quiet_option
def command(directory: str, against: str, model: str | None, **flags: Any) -> None:
    """Measure the exported build in DIR beside other engines.

    Each engine gets the weights that DIR holds, zeros included, and the same inputs and threads;
    all take turns, each in a process of its own, after what they compute was compared. Engines
    that are not installed are rows that say so: `pip install "tvm-sparse[peers]"` brings all.
    """
    check_output_file("--json", flags["json_path"])
    check_output_file("--chart", flags["chart"])
    check_cache_directory(flags["cache_dir"])
    spec = bench_spec(flags["time_s"], streams=flags["streams"])
    check_dependencies()
    from tvm_sparse.bench.peers.engine import find_engines
    from tvm_sparse.bench.throughput import stream_counts
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.report.charts.render import check_renderer
    from tvm_sparse.runtime.metadata import load_metadata

    if flags["chart"] is not None:
        check_renderer()  # a missing library is told before the measurement
    stream_counts(spec, threads_here(flags["threads"]))
    names = [name.strip() for name in against.split(",") if name.strip()]
    find_engines(names)
    if flags["quantize"] is not None:
        names.insert(0, flags["quantize"])
    metadata = load_metadata(directory)
    if flags["shape"] is not None:
        ModelSpec(**metadata.spec["model"]).check_shapes([flags["shape"]])
    with ProgressDisplay(flags["quiet"]) as display:
        display.step("starting the compiler")
        from tvm_sparse.api.comparison import compare

        record = compare(
            directory,
            names,
            model=model,
            shape=flags["shape"],
            threads=flags["threads"],
            bench=spec,
            cache_dir=flags["cache_dir"],
            progress=display.measure,
        )
    from tvm_sparse.cli.results import deliver
    from tvm_sparse.records.write import write_json

    deliver(
        lambda: _print_record(record),
        (flags["json_path"], lambda path: write_json(path, record)),
        (flags["chart"], lambda path: _draw(record, Path(path))),
    )


def _draw(record: PeersRecord, path: Path) -> None:
    from tvm_sparse.report.charts.peers import peers_chart, peers_title
    from tvm_sparse.report.charts.render import save_chart

    save_chart(peers_chart(record), path, peers_title(record))


def _print_record(record: PeersRecord) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.figures import describe_disturbance
    from tvm_sparse.report.peers_table import describe_engines, describe_rival, render_peers
    from tvm_sparse.report.streams_table import render_streams

    count = record.threads[0]
    if warning := describe_disturbance(record.disturbance_at(count)):
        print_wide(warning)
    print_wide(render_peers(record, count))
    if busy := [result for result in record.at(count) if result.streams]:
        over = next((result for result in busy if result.is_rival), busy[0])
        print_wide(render_streams({one.label: one.streams for one in busy}, over.label))
    for line in (*describe_engines(record, count), describe_rival(record, count)):
        print_wide(line)
    print_wide(f"weights: {record.weights}")
