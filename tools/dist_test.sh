#!/usr/bin/env bash
# Test with several processes on this machine: tools/dist_test.sh CONFIG WEIGHTS PROCESSES [options of test.py]
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, as torchrun knows them.
set -euo pipefail
config=${1:?usage: dist_test.sh CONFIG WEIGHTS PROCESSES [options]}
weights=${2:?usage: dist_test.sh CONFIG WEIGHTS PROCESSES [options]}
processes=${3:?usage: dist_test.sh CONFIG WEIGHTS PROCESSES [options]}
exec python -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" --nproc_per_node="$processes" \
    "$(dirname "$0")/test.py" "$config" "$weights" --launcher pytorch "${@:4}"
