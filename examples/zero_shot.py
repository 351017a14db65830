# %% [markdown]
# # Sort articles without training
#
# A model for natural language inference says whether an article entails "This example is about
# motorcycles": so it sorts texts into classes it was not made for. Here hundreds of articles are
# sorted by all cores of this machine, or of a cluster.

# %% tags=["parameters"]
MODEL = "typeform/distilbert-base-uncased-mnli"  # a hub id or a checkpoint's directory
SPARSITY = 0.95  # of random 4x1 blocks: right for speed; prune a model for its answers
THRESHOLD = None  # of zero blocks, from which on a layer runs sparse; None measures what is faster
ARTICLES = "articles.jsonl"  # scripts/make_articles.py makes one; any column `text` will do
LABELS = "games,sound"
OUTPUT = "labels"
USE_RAY = True
ADDRESS = None  # of a Ray cluster; None for this machine
SHAPE = {"batch": 32, "seq_len": 512}  # at most: texts are run in their own lengths

# %% [markdown]
# ## A build for texts of any length

# %%
from pathlib import Path

import tvm_sparse

model = tvm_sparse.load_model(MODEL, is_open=True, **SHAPE)
pruned = tvm_sparse.sparsify(
    model, sparsity=SPARSITY, block_shape=(4, 1), sparsity_threshold=THRESHOLD
)
builds = tvm_sparse.compile(pruned, builds=("sparse",))
artifact = tvm_sparse.export(builds, Path(OUTPUT).parent / "zero-shot-build")

# %% [markdown]
# ## The job
#
# Each actor loads the build once and has a core to itself. Rows that fail are in `errors.jsonl`;
# what was done before a failure stays, and `resume=True` goes on.

# %%
from tvm_sparse.batch.run import run_batch
from tvm_sparse.batch.spec import BatchSpec

record = run_batch(
    BatchSpec(
        inputs=(ARTICLES,),
        output=OUTPUT,
        artifact=str(artifact),
        task="zero-shot-classification",
        options={"candidate_labels": LABELS},
        keep_order=True,
        use_ray=USE_RAY,
        address=ADDRESS,
    ),
    step=print,
)
print(
    f"{record.rows_in} articles in {record.work_s:.1f} s of work, {record.rows_per_s:.1f} a second"
)

# %% [markdown]
# ## What came out

# %%
import json
from collections import Counter

rows = [json.loads(line) for line in (Path(OUTPUT) / "rows.jsonl").read_text().splitlines()]
print(Counter(row["prediction"]["labels"][0] for row in rows))
