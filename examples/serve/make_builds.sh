#!/usr/bin/env bash
# Make the builds that a file of this directory names: ./make_builds.sh nineteen.yaml
#
# A build is called after its model, its sparsity in percent and its blocks: base-95-16x1. Weights are
# seeded, so that answers mean nothing; speed and memory are those of trained weights. LAYERS=2 keeps
# two layers of each model, which is soon done. What is there already is kept.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python}

for build in $(grep -o 'builds/[a-z0-9-]*' "${1:?which file?}"); do
    [ -d "$build" ] && continue
    IFS=- read -r size sparsity block <<<"${build#builds/}"
    checkpoint=checkpoints/$size
    [ -d "$checkpoint" ] || "$python" make_checkpoint.py "$size" "$checkpoint"
    pruned=(--sparsity "0.$sparsity" --block "${block:-1x1}")
    [ "$sparsity" = dense ] && pruned=(--prune none --build dense)
    echo "$build"
    "$python" -m tvm_sparse export --model "$checkpoint" "${pruned[@]}" ${LAYERS:+--layers "$LAYERS"} \
        --seq-len 1:384 --batch 1:16 --quiet --output "$build"
done
