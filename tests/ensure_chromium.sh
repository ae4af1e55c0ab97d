#!/bin/sh
# Sees to it that the browser tests have a Chromium. Installs Debian's where CI is set or the user says yes; else says
# what is left out.
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
skipped="No Chromium: the browser tests (pytest -m browser) are left out. Install chromium and run make test again."
if ! command -v apt-get >/dev/null 2>&1; then echo "$skipped"; exit 0; fi
as_root=
if [ "$(id -u)" -ne 0 ]; then as_root=sudo; fi
if [ -z "${CI:-}" ]; then
    if [ ! -t 0 ]; then echo "$skipped"; exit 0; fi
    printf 'The browser tests need Chromium. Install it now (%s apt-get install chromium)? [y/N] ' "$as_root"
    read -r reply
    case "$reply" in [yY]*) ;; *) echo "$skipped"; exit 0 ;; esac
fi
export DEBIAN_FRONTEND=noninteractive
if $as_root apt-get -qq update && $as_root apt-get -qq install --yes --no-install-recommends chromium >/dev/null; then
    exit 0
fi
echo "$skipped"
