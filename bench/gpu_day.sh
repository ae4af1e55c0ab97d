#!/bin/sh
# A day on a GPU, on a machine without a network: bench/gpu_day.sh [--dry-run] WHEELS OUT [options]
#
# WHEELS is the folder that bench/gpu_day/collect_wheels.sh filled. OUT gets results.json, written after each step, and log.txt.
# Options: --size, --frames, --budget (seconds in all), --only STEP,STEP. Nothing is installed but into a folder of its own.
set -eu

dry_run=
if [ "${1-}" = --dry-run ]; then
    dry_run=--dry-run
    shift
fi
usage() { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
[ $# -ge 2 ] || usage
case $1 in -*) usage ;; esac # options come behind the folders
case $2 in -*) usage ;; esac
wheels=$1 out=$2
shift 2

root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/links/qpi_live" "$out"
for part in qpi_live/__init__.py qpi_live/py.typed bench camera models service; do
    ln -s "$root/$part" "$work/links/qpi_live/$(basename "$part")"
done

# The runner needs the standard library alone, so that it says what else is missing.
PYTHONPATH=$work/links:$work/site${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 \
    "${PYTHON:-python3}" -m qpi_live.bench.gpu_day $dry_run --root "$root" --work "$work" "$wheels" "$out" "$@"
