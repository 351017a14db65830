# %% [markdown]
# # Should we prune this model?
#
# Before anybody spends weeks on pruning: what does each layer cost, what would run sparse, and
# what would it buy on *this* machine?

# %% tags=["parameters"]
MODEL, WEIGHTS = (
    "bert-mini",
    "auto",
)  # a preset, a hub id or a directory; auto, checkpoint or random
SEQ_LEN, THREADS = 128, None
BLOCK = (4, 1)
THRESHOLD = 0.0  # every layer that can runs sparse, whether it pays or not
SPARSITIES = (0.0, 0.5, 0.8, 0.9, 0.95)
TIME_S = 2.0  # of measuring each build

# %% [markdown]
# ## Where the time goes
#
# The dense layers of the encoder can run sparse; attention, norms and the head stay dense and
# bound what pruning can buy.

# %%
import tvm_sparse

model = tvm_sparse.load_model(MODEL, weights=WEIGHTS, seq_len=SEQ_LEN)
analysis = tvm_sparse.analyze(model, block_shape=BLOCK, timed=False)
eligible = [layer for layer in analysis.layers if layer.eligible]
print(f"{len(eligible)} of {len(analysis.layers)} dense layers could run sparse")

# %% [markdown]
# ## What sparsity buys
#
# One build for each sparsity, all measured in turns against the dense build of the same weights.
# This is the small version of `tvm-sparse what-if`, which predicts a whole grid of sparsities and
# block shapes, measures where it decides, and writes a page for whoever has to decide.

# %%
speedup = {}
for sparsity in SPARSITIES:
    pruned = tvm_sparse.sparsify(
        model, sparsity=sparsity, block_shape=BLOCK, sparsity_threshold=THRESHOLD
    )
    builds = tvm_sparse.compile(pruned, threads=THREADS)
    record = tvm_sparse.benchmark(builds, time_s=TIME_S, threads=THREADS)
    speedup[sparsity] = record.speedup
    print(f"{sparsity:4.0%} zeros: {record.speedup:.2f}x")

# %% [markdown]
# ## The answer
#
# Pruning below the first sparsity that wins is work for nothing. What a sparsity costs in accuracy
# is the other half of the question: `tvm-sparse prune` and `tvm-sparse evaluate` answer it on your
# own texts.

# %%
wins = [sparsity for sparsity, gain in speedup.items() if gain > 1.1]
best = max(speedup, key=speedup.get)
print(
    f"it pays from {min(wins):.0%} zeros on; {best:.0%} gives {speedup[best]:.2f}x"
    if wins
    else "on this machine, at this size, do not prune for speed"
)
