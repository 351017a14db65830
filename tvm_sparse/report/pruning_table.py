"""What pruning did, as a table of layers and a few sentences, from `pruning.json`."""

from __future__ import annotations

from rich.table import Table

from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.report.table import make_table


def render_pruning(report: PruningReport) -> Table:
    """Return a table with one row per pruned layer.

    Parameters
    ----------
    report : PruningReport
        Contents of `pruning.json`.
    """
    table = make_table("Pruned layers")
    table.add_column("layer", overflow="fold")
    for column in ("N x K", "zero blocks", "block sparsity", "element sparsity", "output error"):
        table.add_column(column, justify="right", no_wrap=True)
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
        f"{report.model}: {len(report.layers)} layers pruned by {spec['method']}, {pattern}, "
        f"block sparsity {report.block_sparsity:.4f} (element sparsity "
        f"{report.element_sparsity:.4f}); {len(report.kept_dense)} dense layers kept as "
        "they were"
    ]
    if text := report.calibration:
        lines.append(f"calibrated on {text.source}: {text.passages} passages, {text.tokens} tokens")
    errors = [e for layer in report.layers if (e := layer.output_error) is not None]
    if errors:
        lines.append(
            f"squared error of the layers' outputs: mean {sum(errors) / len(errors):.4f}, largest "
            f"{max(errors):.4f} of their squared size"
        )
    if finetune := report.finetune:
        training = finetune.training
        lines.append(
            f"trained for {training.steps} steps on {finetune.text.source}: loss on texts held out "
            f"{training.held_out_loss_before:.4f} before, {training.held_out_loss_after:.4f} after"
        )
    lines.append(f"written to {directory}")
    return "\n".join(lines)
