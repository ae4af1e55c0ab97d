#!/bin/sh
# Train the shipped network on with the minutes that are left on a GPU: bench/train_on_gpu.sh OUT MINUTES [PAIRS]
#
# A third of the time makes pairs (on all cores), half of it trains; what pairs take too long comes off the training, so that
# a sixth is left for the export. OUT gets training.csv, a row an epoch, and, if time is
# left and ONNX Runtime agrees with torch, trained.onnx; else the checkpoint in parts that come back where files may have
# 16 MiB: cat OUT/trained.pt.* > trained.pt. PAIRS is how many to train on, else as many as the cores make in time.
set -eu

out=$1 minutes=$2
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
cores=$(nproc)
pairs=${3:-$(awk "BEGIN { n = int($cores * $minutes * 60 / 3 / 6); print (n < 8) ? 8 : (n > 512) ? 512 : n }")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
began=$(date +%s)
left() { awk "BEGIN { left = $minutes * 5 / 6 - ($(date +%s) - $began) / 60; print (left < 0.1) ? 0.1 : left }"; }
qpi() { "$python" -c 'from qpi_live.service.cli.entry import main; main()' "$@"; }

qpi pairs "$root/camera/data/glioblastoma.json" "$work/pairs" --size 512 --training "$pairs" --validation 4 --test 4 \
    --processes "$cores"
qpi train "$work/pairs" "$work/run" --connections "$root/models/weights/nasprnet-connections.json" \
    --start "$root/models/weights/nasprnet.onnx" --freeze-batch-norm-from 0 --crop 256 --batch 8 \
    --learning-rate 0.001 --minutes "$(left)" # eight times that, where nothing is learnt yet, ruins what ships
cp "$work/run/log.csv" "$out/training.csv"
split --bytes=15m "$work/run/best.pt" "$out/trained.pt." # exporting takes minutes, which may not be left
qpi export "$work/run/best.pt" "$out/trained.onnx" --data "$work/pairs" --probes 2
rm "$out"/trained.pt.* # the network says all, in a third of the room
tail -1 "$out/training.csv"
