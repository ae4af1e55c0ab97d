#!/bin/sh
# Sees to it that the browser tests have a Chromium: installs Debian's where this user may, else says what is left out.
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
as_root=
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=no; fi
fi
if [ "$as_root" != no ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests"
    export DEBIAN_FRONTEND=noninteractive
    if $as_root apt-get -qq update && $as_root apt-get -qq install --yes --no-install-recommends chromium >/dev/null; then
        exit 0
    fi
fi
echo "No Chromium: the browser tests (pytest -m browser) are left out. Install chromium and run make test again."
