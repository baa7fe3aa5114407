#!/usr/bin/env bash
# Train under Slurm: GPUS=8 GPUS_PER_NODE=8 tools/slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
set -euo pipefail
partition=${1:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [options]}
name=${2:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [options]}
config=${3:?usage: slurm_train.sh PARTITION JOB_NAME CONFIG [options]}
gpus=${GPUS:-1}
per_node=${GPUS_PER_NODE:-$gpus}
# SRUN_ARGS may hold several words
# shellcheck disable=SC2086
exec srun --partition="$partition" --job-name="$name" --gres="gpu:$per_node" --ntasks="$gpus" \
    --ntasks-per-node="$per_node" --cpus-per-task="${CPUS_PER_TASK:-4}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    python -u "$(dirname "$0")/train.py" "$config" --launcher slurm "${@:4}"
