"""What the user asked for, as frozen dataclasses, validated once here.

Every stage takes one of these specs; none of them re-checks what is checked here. What can only
be known later (whether a model allows a sequence length, whether a block divides a weight) is
checked by the stage that learns it.
"""

from tvm_sparse.config.bench import BenchSpec, bench_spec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.micro_batches import (
    MICRO_BATCH_TOKENS,
    NOMINAL_SEQ_LEN,
    choose_micro_batch,
    nominal_length,
)
from tvm_sparse.config.model import AUTO, ImporterChoice, InputForm, ModelSpec, WeightsPolicy
from tvm_sparse.config.quantization import BUILT_IN, QuantizationSpec, QuantizeScheme
from tvm_sparse.config.sparsity import PruneMethod, SelectMethod, SparsitySpec

__all__ = [
    "AUTO",
    "BUILT_IN",
    "MICRO_BATCH_TOKENS",
    "NOMINAL_SEQ_LEN",
    "BenchSpec",
    "CompileSpec",
    "ImporterChoice",
    "InputForm",
    "ModelSpec",
    "PruneMethod",
    "QuantizationSpec",
    "QuantizeScheme",
    "SelectMethod",
    "SparsitySpec",
    "WeightsPolicy",
    "bench_spec",
    "choose_micro_batch",
    "nominal_length",
]
