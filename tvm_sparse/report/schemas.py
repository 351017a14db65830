"""The JSON Schemas of the records that users get: `python -m tvm_sparse.report.schemas`.

It writes them below docs/schemas, one file for each kind of record.
"""

from __future__ import annotations

from pathlib import Path

from tvm_sparse.analysis.layers import Analysis
from tvm_sparse.batch.record import BatchRecord
from tvm_sparse.bench.peers.record import PeersRecord
from tvm_sparse.bench.record import BenchRecord, ShapesRecord
from tvm_sparse.diagnosis.record import Diagnosis
from tvm_sparse.fidelity.record import EvaluationRecord
from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.records.schema import json_schema
from tvm_sparse.records.write import json_text, write_text
from tvm_sparse.runtime.metadata import ArtifactMetadata
from tvm_sparse.tuning.tuned_build import TuningRecord
from tvm_sparse.whatif.study import Study

#: By the name of the schema: what `bench`, `compare`, `what-if`, `analyze`, `evaluate`, `tune`,
#: `prune`, `doctor` and `batch` write, and the metadata of an artifact.
RECORDS = {
    "analysis": Analysis,
    "artifact": ArtifactMetadata,
    "batch": BatchRecord,
    "benchmark": BenchRecord,
    "comparison": PeersRecord,
    "diagnosis": Diagnosis,
    "evaluation": EvaluationRecord,
    "pruning": PruningReport,
    "shapes": ShapesRecord,
    "study": Study,
    "tuning": TuningRecord,
}


def schema_texts() -> dict[str, str]:
    """Return the schemas as JSON, by the names of their files."""
    return {f"{name}.json": json_text(json_schema(kind)) for name, kind in RECORDS.items()}


def main(directory: str = "docs/schemas") -> None:
    """Write the schemas."""
    for name, text in schema_texts().items():
        write_text(Path(directory) / name, text)


if __name__ == "__main__":
    main()
