#!/bin/sh
# Collect the wheels that bench/gpu_day.sh needs on a machine without a network: collect_wheels.sh WHEELS [THERE]
#
# THERE is a file of what that machine has already (`pip list --format=freeze` there), which is left out. Run this where
# packages can be downloaded; --python names the other machine's version (3.12).
set -eu
exec "${PYTHON:-python3}" "$(dirname "$0")/wheels.py" "$@"
