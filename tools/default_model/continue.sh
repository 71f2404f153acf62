#!/bin/sh
# continue.sh RUN START SEED [SETTING ...]: continue the training of the default model on other rendered people.
set -e
run=$1 start=$2 seed=$3
shift 3
for setting in "$@"; do
    set -- "$@" --set "$setting"
    shift
done
exec passerby train --recipe default --data "$(cat "$(dirname "$0")/data.txt")" --out "$run" \
    --set model.weights="$start" --set training.seed="$seed" --set training.precision=bf16 --set training.threads=1 \
    --set training.ema=0.998 --set batches.alike_from=0 --set batches.workers=1 --set batches.prefetch=8 \
    --set images.background=0.5 --set 'images.response={p: 0.33, gamma: 0.25, gain: 0.08}' \
    --set 'images.zoom={p: 0.67, scale: 0.15, aspect: 0.12}' --set schedule.epochs=1 --set schedule.warmup_epochs=0 \
    --set schedule.lr_init=2e-5 --set schedule.lr_max=1.5e-4 --set schedule.lr_min=1e-6 --set evaluation.calibration=null "$@"
