#!/bin/sh
# The REST interface from a shell: `sh curl.sh [URL] [FOLDER]`.
set -eu
url=${1:-http://127.0.0.1:8000}
folder=${2:-.}

# The newest phase, as a TIFF that ImageJ and napari open, and as a picture.
curl --fail --silent --show-error --output "$folder/phase.tif" "$url/api/v1/frames/latest?layer=phase&format=tiff"
curl --fail --silent --show-error --output "$folder/phase.png" "$url/api/v1/frames/latest?layer=phase&format=png"

# Its interferogram, sent back to another engine.
curl --fail --silent --show-error --output "$folder/hologram.npy" "$url/api/v1/frames/latest?layer=interferogram&format=npy"
curl --fail --silent --show-error --output "$folder/again.npy" --data-binary "@$folder/hologram.npy" \
    "$url/api/v1/phase?engine=goldstein&format=npy"

# Rates, latencies, losses.
curl --fail --silent --show-error "$url/api/v1/stats"
