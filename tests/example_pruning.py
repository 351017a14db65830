"""The report of a pruning with made-up numbers."""

from __future__ import annotations

from tvm_sparse.fidelity.sensitivity_record import LayerSensitivity, Sensitivity
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.pruning.report import (
    CalibrationFacts,
    FinetuneFacts,
    LayerResult,
    PruningReport,
)
from tvm_sparse.training.facts import TrainingFacts

TEXT = CalibrationFacts("text.txt", passages=8, truncated=1, seq_len=16, tokens=100)


def example_sensitivity() -> Sensitivity:
    """Of three layers; what the second loses pays best in FLOPs."""
    losses = {"a": 0.1, "b": 0.2, "c": 0.3}
    return Sensitivity(
        task="encoder",
        measure="cosine_mean",
        block_shape=(4, 1),
        method="magnitude",
        texts=8,
        seq_len=16,
        layers=tuple(
            LayerSensitivity(
                weight=f"{name}/kernel",
                blocks=4,
                flops=flops,
                sparsities=(0.5, 0.9),
                losses=(loss / 2, loss),
                measures=(1 - loss / 2, 1 - loss),
            )
            for (name, loss), flops in zip(losses.items(), (1, 10, 5), strict=True)
        ),
    )


def example_report() -> PruningReport:
    return PruningReport(
        tvm_sparse="0.1.0",
        model="tiny",
        architecture="BertModel",
        weights=WeightsFacts("checkpoint", "00", "tiny", "of a test"),
        spec={"method": "second-order", "block_shape": [4, 1], "n_m": None},
        calibration=TEXT,
        element_sparsity=0.5,
        block_sparsity=0.5,
        layers=(LayerResult("a/kernel", (8, 4), 8, 4, 0.5, 0.5, 0.01),),
        kept_dense={"head/kernel": "head"},
        sensitivity=example_sensitivity(),
        finetune=FinetuneFacts(
            TEXT, TrainingFacts(20, 0, ((20, 0.5),), 0.75, 0.25, 1.5, {"steps": 20})
        ),
    )
