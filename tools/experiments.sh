#!/usr/bin/env bash
# Everything the book reports about training: results with seeds, then weights with cards. What is
# done is kept in _build/keep, so a second call goes on where the first was stopped.
#   tools/experiments.sh [SEEDS]
# The whole Fashion-MNIST must be on this machine: see `backbone.data.fashion_folder`.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=${1:-5}
results=src/backbone/experiments/results

run() {
  .venv/bin/python -m torch.distributed.run --standalone --nproc-per-node "${PROCESSES:-2}" \
    -m backbone.experiments "$1" --seeds "$2" --out "$results/$1.json" --keep "_build/keep/$1"
}

run fashion 3
.venv/bin/python tools/make_weights.py _build/keep # the backbone experiment starts from these
run degradation "$seeds"
run segmentation "$seeds"
run backbone "$seeds"
.venv/bin/python tools/make_weights.py _build/keep
