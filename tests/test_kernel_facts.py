"""What a kernel is: its name, its part, and the product in its place."""

from __future__ import annotations

import pytest

from tvm_sparse.kernel_facts import Epilogue, KernelFacts

pytestmark = pytest.mark.unit

RESIDUAL = Epilogue(bias=True, residual=True, activation="gelu_tanh")


@pytest.mark.parametrize(
    ("facts", "name", "part"),
    [
        (KernelFacts("packed_dense", 96, 32), "packed_dense_96x32", "products"),
        (KernelFacts("row_dense", 9, 8, epilogue=RESIDUAL),
         "row_dense_9x8_bias_gelu_tanh_residual", "products"),
        (KernelFacts("sparse_dense", 8, 8, (4, 1), Epilogue(bias=True)),
         "sparse_dense_8x8_4x1_bias", "products"),
        (KernelFacts("attention", 12, 64), "attention_12x64", "attention"),
        (KernelFacts("layer_norm", 768, epilogue=Epilogue(residual=True)),
         "layer_norm_768_residual", "norms"),
        (KernelFacts("pack_tokens"), "pack_tokens", "rest"),
        (KernelFacts("tvm_matmul"), "tvm_matmul", "products"),
        (KernelFacts(), "other", "rest"),
    ],
)  # fmt: skip
def test_names_and_parts(facts, name, part):
    assert (facts.name, facts.part) == (name, part)


def test_the_sparse_product_in_place_of_a_dense_one_and_back():
    dense = KernelFacts("packed_dense", 96, 32, epilogue=RESIDUAL)
    sparse = dense.as_sparse((4, 1))
    assert sparse.name == "sparse_dense_96x32_4x1_bias_gelu_tanh_residual"
    assert sparse.as_dense() == dense
