# %% [markdown]
# # Deploy a pruned Hugging Face model on a CPU
#
# TVM's tutorial of that name was written for Relay. These are its steps on Relax, one by one:
# import a BERT, bring its weights into the form the compiler wants, turn sparse layers into
# block-sparse ones, compile, measure, deploy.

# %% tags=["parameters"]
MODEL, WEIGHTS = (
    "bert-mini",
    "auto",
)  # a preset, a hub id or a directory; auto, checkpoint or random
SEQ_LEN, BATCH, THREADS = 128, 1, None
SPARSITY, BLOCK = 0.95, (4, 1)
THRESHOLD = 0.5  # share of zero blocks from which on a layer runs sparse
TIME_S = 5.0  # of measuring each build
OUTPUT = "bert-mini-sparse"

# %% [markdown]
# ## 1. Import the model
#
# TensorFlow runs in a process of its own and hands over a Relax module, the weights by name,
# inputs and the outputs that TensorFlow computes for them. The second time all of it comes from
# the cache.

# %%
import numpy as np

import tvm_sparse

model = tvm_sparse.load_model(MODEL, weights=WEIGHTS, batch=BATCH, seq_len=SEQ_LEN)
model

# %% [markdown]
# ## 2. Give the weights their zeros
#
# A random pattern of blocks tells how fast a pruned model would be, and nothing about accuracy.
# Real pruning is `tvm_sparse.prune`; the zeros of a model that comes pruned stay as they are
# (`prune="none"`).

# %%
pruned = tvm_sparse.sparsify(
    model, sparsity=SPARSITY, block_shape=BLOCK, sparsity_threshold=THRESHOLD
)

# %% [markdown]
# ## 3. Fold the transposes of the weights
#
# TensorFlow keeps a weight as (inputs, outputs), the kernels want (outputs, inputs). Nothing the
# caller owns is changed: the pass returns a new module and new parameters, named `<weight>.T`.

# %%
from tvm_sparse.passes import bsr_dense, simplify_fc_transpose

mod, params = simplify_fc_transpose.convert(pruned.mod, pruned.params)
[name for name in params if name.endswith(".T")][:3]

# %% [markdown]
# ## 4. Turn dense layers into block-sparse ones
#
# Every layer gets a decision with a reason. The threshold is on the share of zero *blocks*,
# because blocks are what is stored.

# %%
sparse_mod, sparse_params, decisions = bsr_dense.convert(mod, params, BLOCK, THRESHOLD)
for decision in decisions[:4]:
    print(f"{decision.action:6} {decision.weight}: {decision.reason}")

# %% [markdown]
# The module now calls `tvm_sparse.sparse_dense`, with the three arrays of the BSR format in place
# of each weight.

# %%
[line.strip() for line in sparse_mod.script().splitlines() if "sparse_dense" in line][:2]

# %%
[(name, value.shape) for name, value in sparse_params.items() if name.endswith(".indptr")][:2]

# %% [markdown]
# ## 5. Compile and check
#
# `compile` goes through these passes and those behind them (token tiles, fused kernels), makes a
# dense and a sparse build of the same weights, and compares dense with TensorFlow and sparse with
# dense.

# %%
builds = tvm_sparse.compile(pruned, threads=THREADS)

# %% [markdown]
# ## 6. Measure
#
# Both builds take turns in processes of their own.

# %%
record = tvm_sparse.benchmark(builds, time_s=TIME_S, threads=THREADS)
for name, build in record.builds.items():
    print(
        f"{name:6} {build.latency_ms.median:.2f} ms, {build.weights_bytes / 1e6:.1f} MB of weights"
    )

# %% [markdown]
# ## 7. Deploy
#
# The directory holds code and weights in one library. Loading it needs numpy and TVM's runtime
# library: no TensorFlow, no compiler. [examples/cpp](cpp) does the same without Python.

# %%
directory = tvm_sparse.export(builds, OUTPUT)
deployed = tvm_sparse.load(directory, threads=THREADS)
outputs = deployed.run(**model.reference.inputs)

# %% [markdown]
# The dense build can be deployed as well: `tvm_sparse.export(builds, "bert-mini-dense", "dense")`.
# With the same zeros in both, the outputs are the same.

# %%
dense = tvm_sparse.load(tvm_sparse.export(builds, f"{OUTPUT}-dense", "dense"), threads=THREADS)
for name, values in dense.run(**model.reference.inputs).items():
    np.testing.assert_allclose(outputs[name], values, rtol=1e-3, atol=1e-3)
