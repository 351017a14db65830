"""What pruning did, as a table of layers and a few sentences, from `pruning.json`."""

from __future__ import annotations

from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.words import counted


def render_pruning(report: PruningReport) -> FittedTable:
    """Return a table with one row per pruned layer.

    Parameters
    ----------
    report : PruningReport
        Contents of `pruning.json`.
    """
    table = FittedTable("Pruned layers")
    table.add_column("layer")
    for column, spare in (
        *(("N x K", 3), ("zero blocks", 4), ("block\nsparsity", 0)),
        *(("element\nsparsity", 2), ("output\nerror", 1)),
    ):
        table.add_column(column, right=True, spare=spare)
    for layer in report.layers:
        error = layer.output_error
        table.add_row(
            layer.weight.removesuffix("/kernel"),
            "x".join(map(str, layer.shape)),
            f"{layer.zero_blocks} of {layer.blocks}",
            f"{layer.block_sparsity:.4f}",
            f"{layer.element_sparsity:.4f}",
            "-" if error is None else f"{error:.4f}",
        )
    return table


def describe_pruning(report: PruningReport, directory: str) -> str:
    """Return in a few lines what was pruned, on what text, and where the result is.

    Parameters
    ----------
    report : PruningReport
        Contents of `pruning.json`.
    directory : str
        Where it was written.
    """
    spec = report.spec
    rows, columns = spec["block_shape"]
    pattern = f"{rows}x{columns} blocks"
    if spec["n_m"]:
        pattern = f"{spec['n_m'][0]}:{spec['n_m'][1]} of {pattern}"
    lines = [
        f"{report.model}: {counted(len(report.layers), 'layer')} pruned by {spec['method']}, "
        f"{pattern}, block sparsity {report.block_sparsity:.4f} (element sparsity "
        f"{report.element_sparsity:.4f}); {counted(len(report.kept_dense), 'dense layer')} kept as "
        "before"
    ]
    if text := report.calibration:
        lines.append(
            f"calibrated on {text.source}: {counted(text.passages, 'passage')}, "
            f"{counted(text.tokens, 'token')}"
        )
    errors = [e for layer in report.layers if (e := layer.output_error) is not None]
    if errors:
        lines.append(
            f"squared error of the layers' outputs: mean {sum(errors) / len(errors):.4f}, largest "
            f"{max(errors):.4f} of their squared size"
        )
    if finetune := report.finetune:
        training = finetune.training
        lines.append(
            f"trained for {counted(training.steps, 'step')} on {finetune.text.source}: loss on "
            f"texts held out {training.held_out_loss_before:.4f} before, "
            f"{training.held_out_loss_after:.4f} after"
        )
    lines += [f"weights: {report.weights}", f"written to {directory}"]
    return "\n".join(lines)
