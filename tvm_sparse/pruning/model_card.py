"""The model card of a pruned model: the original's, and what was done to it."""

from __future__ import annotations

from pathlib import Path

from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.sizes import block_name

MODEL_CARD = "README.md"


def write_model_card(path: Path, report: PruningReport) -> None:
    """Add to a card, or begin one.

    Parameters
    ----------
    path : Path
        The copy of the original's card; there need be none.
    report : PruningReport
        What was done.
    """
    card = path.read_text(encoding="utf-8", errors="replace").rstrip() if path.is_file() else ""
    begun = card or f"# {Path(report.model).name}, pruned"
    path.write_text(f"{begun}\n\n{_section(report)}", encoding="utf-8")


def _section(report: PruningReport) -> str:
    spec, blocks = report.spec, block_name(tuple(report.spec.get("block_shape", (1, 1))))
    trained = "trained afterwards by distillation" if report.finetune else "not trained afterwards"
    text = f", on {report.calibration}" if report.calibration else ""
    zeros = f"{report.element_sparsity:.1%} of the elements and {report.block_sparsity:.1%}"
    return f"""## Pruning

These are not the original weights: tvm_sparse {report.tvm_sparse} pruned {report.model}
(weights with the fingerprint {report.weights.fingerprint[:12]}).

- method: {spec.get("method")}{text}; {trained}
- blocks: {blocks} (outputs x inputs of a layer)
- zeros: {zeros} of the blocks of
  {len(report.layers)} pruned layers; {len(report.kept_dense)} others stay dense

What is said above of the model's quality was measured before. `pruning.json` has every option
and every layer.
"""
