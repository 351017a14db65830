"""`tvm-sparse what-if`: what pruning would buy, predicted, and measured where it counts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tvm_sparse.cli.options.blocks import block_list_option, exclude_option, include_option
from tvm_sparse.cli.options.choice import Choice
from tvm_sparse.cli.options.extent import shapes_option
from tvm_sparse.cli.options.model import complete_model, layers_option, seed_option, weights_option
from tvm_sparse.cli.options.output import cache_option, json_option, quiet_option
from tvm_sparse.cli.options.quantize import quantize_option
from tvm_sparse.cli.output_paths import check_output_directory, check_output_file
from tvm_sparse.config.bench import bench_spec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.sizes import block_name
from tvm_sparse.sparsity.prune_spec import METHODS

if TYPE_CHECKING:
    from tvm_sparse.whatif.study import Study

STUDY_FILE = "study.json"


@click.command("what-if", short_help="Tell at which sparsity and block shape pruning pays.")
@click.argument("model", metavar="MODEL", shell_complete=complete_model)
@click.option(
    "--sparsity",
    metavar="LIST",
    help="Block sparsities, 0..1.  [default: 0,.4,.6,.7,.8,.85,.9,.95,.975,.99]",
)
@block_list_option
@click.option(
    "--seq-len",
    metavar="LIST|1:N",
    help="Tokens of every sequence; 1:N studies one build for any length up to N.  [default: 128]",
)
@click.option(
    "--batch",
    metavar="LIST|1:N",
    help="Sequences in one run; 1:N studies one build for any number up to N.  [default: 1]",
)
@shapes_option
@click.option("--threads", metavar="LIST", help="Numbers of threads.  [default: every core]")
@click.option(
    "--grid",
    "grid_path",
    type=click.Path(),
    metavar="FILE",
    help="YAML file with lists under sparsity, block_shape, seq_len, batch, threads, shape; flags "
    "replace its lists.",
)
@click.option("--predict", is_flag=True, help="Predict every point and measure none.")
@click.option("--measure", is_flag=True, help="Build and measure every point.")
@click.option("--dry-run", is_flag=True, help="Print the plan and its cost, and stop.")
@click.option(
    "--target-latency-ms", type=float, metavar="MS", help="Find the sparsity this budget needs."
)
@click.option(
    "--target-throughput",
    type=float,
    metavar="N",
    help="Find the sparsity that gives so many items per second and core.",
)
@click.option(
    "--time",
    "time_s",
    type=float,
    default=3.0,
    show_default=True,
    metavar="SECONDS",
    help="Seconds of measuring per build.",
)
@click.option(
    "--measure-again",
    is_flag=True,
    help="Measure again what something disturbed when it was measured.",
)
@click.option("--keep-builds", is_flag=True, help="Leave the points' builds in the cache.")
@click.option(
    "--against",
    default="onnxruntime-int8",
    show_default=True,
    metavar="LIST",
    help="Other engines to measure beside the dense build, as `compare` takes them; none for none.",
)
@click.option(
    "--price-per-core-hour",
    type=float,
    metavar="PRICE",
    help="Tell what a million requests cost, in any currency.",
)
@click.option(
    "--requests-per-day",
    type=float,
    metavar="N",
    help="Tell how many cores they keep busy, and what a year costs.",
)
@click.option(
    "--fidelity",
    "fidelity_text",
    type=click.Path(),
    metavar="FILE",
    help="Prune the real weights at every sparsity and block shape, and tell on these texts, one "
    "a line, how close the model stays to the dense one. Without: where dense is beaten, on the "
    "built-in text, which is a small sample.",
)
@click.option("--no-fidelity", is_flag=True, help="Do not prune, and tell speeds alone.")
@click.option(
    "--fidelity-method",
    "fidelity_methods",
    type=Choice(METHODS),
    multiple=True,
    help="How to prune for --fidelity; may be given more than once.  [default: magnitude]",
)
@quantize_option
@include_option
@exclude_option
@weights_option
@layers_option
@seed_option
@json_option("Write the study.")
@click.option(
    "--csv", "csv_path", type=click.Path(), metavar="FILE", help="Write the points as CSV."
)
@click.option(
    "--markdown",
    "markdown_path",
    type=click.Path(),
    metavar="FILE",
    help="Write what the report says as Markdown, for a pull request.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Write study.json, report.html, pictures and CSV there.",
)
@cache_option
@quiet_option
def command(model: str, **flags: Any) -> None:
    """Tell what pruning MODEL would buy on this machine, before anybody prunes it.

    Every point of a grid (sparsity x block shape x sequence length x batch x threads) is predicted
    from a profile of the dense build and micro-benchmarks of the sparse kernels. The few points
    that decide are built and measured next to the dense build, unless --predict or --measure says
    otherwise. What was measured is kept: the same command goes on where an interrupted one ended.

    The zeros lie at random: right for speed, meaningless for accuracy, which --fidelity measures.
    """
    if flags["predict"] and flags["measure"]:
        raise click.UsageError("--predict and --measure exclude each other: give one, or neither")
    check_output_file("--json", flags["json_path"])
    check_output_file("--csv", flags["csv_path"])
    check_output_file("--markdown", flags["markdown_path"])
    check_output_directory("-o", flags["output"])
    spec = ModelSpec(model, flags["weights"], seed=flags["seed"], num_layers=flags["layers"])
    bench = bench_spec(flags["time_s"], min(0.5, flags["time_s"] / 4))
    from tvm_sparse.whatif.economy import Pricing
    from tvm_sparse.whatif.grid import Targets, usual_block_shapes
    from tvm_sparse.whatif.grid_file import load_grid, make_grid, parse_axes

    axes = load_grid(flags["grid_path"]) if flags["grid_path"] else {}
    axes |= parse_axes({name: flags[name] for name in ("sparsity", "seq_len", "batch", "threads")})
    if flags["block_shapes"] is not None:
        axes["block_shapes"] = flags["block_shapes"]
    axes.setdefault("block_shapes", usual_block_shapes(flags["quantize"]))
    if flags["shapes"] is not None:
        axes["shapes"] = flags["shapes"]
    grid = make_grid(axes)
    targets = Targets(flags["target_latency_ms"], flags["target_throughput"])
    pricing = Pricing(flags["price_per_core_hour"], flags["requests_per_day"])
    if flags["no_fidelity"] and (flags["fidelity_text"] or flags["fidelity_methods"]):
        raise click.UsageError("--no-fidelity given with what asks for it: leave one out")
    if flags["fidelity_text"] is not None:
        from tvm_sparse.text.texts import read_texts

        # Before the work: a file of the wrong kind is told at once.
        read_texts(flags["fidelity_text"])
    from tvm_sparse.importers.import_model import check_packages

    check_packages(spec)
    if flags["output"] is not None:
        from tvm_sparse.report.charts.render import check_renderer

        check_renderer()
    from tvm_sparse.api.what_if import plan_what_if, what_if
    from tvm_sparse.cli.progress import ProgressDisplay
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.whatif.fidelity import FidelityQuestion
    from tvm_sparse.whatif.question import Question
    from tvm_sparse.whatif.subject import Fill

    methods = tuple(dict.fromkeys(flags["fidelity_methods"])) or ("magnitude",)
    fidelity = FidelityQuestion(flags["fidelity_text"], methods)
    engines = flags["against"].replace(" ", "").split(",")
    question = Question(
        grid=grid,
        mode="predict" if flags["predict"] else "measure" if flags["measure"] else "decide",
        targets=targets,
        fill=Fill(flags["seed"], flags["include"], flags["exclude"]),
        pricing=pricing,
        fidelity=None if flags["no_fidelity"] else fidelity,
        bench=bench,
        keep_builds=flags["keep_builds"],
        measure_again=flags["measure_again"],
        scheme=flags["quantize"] or "",
        against=() if engines == ["none"] else tuple(engines),
        command=_command_line(),
    )
    with ProgressDisplay(flags["quiet"]) as display:
        ways = {"cache_dir": flags["cache_dir"], "progress": display.step}
        if flags["dry_run"]:
            plan, study = plan_what_if(spec, question, **ways), None
        else:
            plan, study = [], what_if(spec, question, **ways)
    for line in plan:
        print_wide(line)
    if study is not None:
        _report(study, flags)


def _report(study: Study, flags: dict[str, Any]) -> None:
    """Print the tables and the answers, and write what was asked for."""
    from tvm_sparse.cli.results import deliver
    from tvm_sparse.records.write import write_json, write_text
    from tvm_sparse.report.markdown import render_markdown
    from tvm_sparse.report.study_rows import rows_csv
    from tvm_sparse.report.study_view import view_of

    deliver(
        lambda: _print_study(study),
        (flags["json_path"], lambda path: write_json(path, study)),
        (flags["csv_path"], lambda path: write_text(path, rows_csv(view_of(study).rows))),
        (flags["markdown_path"], lambda path: write_text(path, render_markdown(study))),
        (flags["output"], lambda path: write_json(Path(path) / STUDY_FILE, study)),
        (flags["output"], lambda path: _write_report(study, path)),
    )


def _print_study(study: Study) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.economy_table import render_economy
    from tvm_sparse.report.rounded_table import render_rounded
    from tvm_sparse.report.study_table import LEGEND, render_study
    from tvm_sparse.whatif.verdict import verdict_of

    # What cannot be relied on comes before what would be taken at its word.
    first = [answer for answer in study.answers if answer.topic in ("reliability", "verdict")]
    for answer in first:
        print_wide(answer.text)
    economy = render_economy(verdict_of(study).economies)
    for table in (*render_study(study), *render_rounded(study), economy):
        print_wide(table)
    print_wide(LEGEND)
    others = (answer.text for answer in study.answers if answer not in first)
    for line in (*others, *study.refused):
        print_wide(line)
    print_wide(f"weights: {study.weights}")


def _write_report(study: Study, output: str) -> None:
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.html import write_report

    write_report(study, output)
    print_wide(f"report: {Path(output) / 'report.html'}")


def _command_line() -> str:
    """Return the command with the flags that were given."""
    context = click.get_current_context()
    words = ["tvm-sparse", "what-if"]
    for parameter in context.command.params:
        name = parameter.name or ""
        value = context.params.get(name)
        if value is None or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Argument):
            words.append(str(value))
            continue
        flag = max(parameter.opts, key=len)
        if value is True:
            words.append(flag)
        elif parameter.name in ("block_shapes", "shapes"):
            words += [flag, ",".join(block_name(part) for part in value)]
        else:
            for part in value if isinstance(value, tuple) else (value,):
                words += [flag, str(part)]
    return shlex.join(words)
