#!/usr/bin/env bash
# Source this: `start_engine CACHE` makes a Docker engine of its own on a Debian machine that has none and reaches no image
# registry. Nothing is installed: packages are unpacked below CACHE, where the base image and the build cache stay too.
# The machine's packet filter, forwarding and routes are left as they are. `stop_engine` ends it.

ENGINE_STATE=            # sockets, pids and logs of the running engine
ENGINE_PID=
ENGINE_ADDED_BRIDGE=     # whether this engine made the interface docker0

start_engine() {
  local cache=$1
  [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && [ "$(uname -m)" = x86_64 ] || {
    echo "expected a Docker engine with Compose, or root on Debian for x86-64 to make one; install Docker" >&2
    return 1
  }
  own_folder "$cache" || return 1
  exec 9>"$cache/lock"
  flock 9 # two engines cannot share one build cache
  local recipe
  recipe=$(sha256sum <"${BASH_SOURCE[0]}")
  if [ "$(cat "$cache/recipe" 2>/dev/null)" != "$recipe" ]; then
    rm -rf "$cache"/{root,data,base.tar}
    echo "$recipe" >"$cache/recipe"
  fi
  export PATH=$cache/root/usr/sbin:$cache/root/usr/bin:$PATH
  [ -x "$cache/root/usr/sbin/dockerd" ] || _unpack_engine "$cache" || return 1
  [ -s "$cache/base.tar" ] || _make_base "$cache" || return 1
  _run_engine "$cache" || return 1
  _import_base "$cache" || return 1
}

stop_engine() {
  [ -n "$ENGINE_STATE" ] || return 0
  if [ -n "$ENGINE_PID" ]; then
    docker builder prune --force --keep-storage 4GB >/dev/null 2>&1
    kill "$ENGINE_PID" 2>/dev/null
    wait "$ENGINE_PID"
  fi
  umount "$ENGINE_STATE/exec/netns/default" 2>/dev/null
  [ -z "$ENGINE_ADDED_BRIDGE" ] || ip link del docker0 2>/dev/null
  rm -rf "$ENGINE_STATE"
  ENGINE_STATE=
}

own_folder() { # make it; refuse one in which somebody else may have put what root would run
  mkdir -p -m 700 "$1"
  if [ -L "$1" ] || [ ! -O "$1" ] || [ -n "$(find "$1" -maxdepth 0 -perm /022)" ]; then
    echo "expected $1 to be this user's alone, got a folder that others made or may write to; remove it or set QPI_DOCKER_CACHE" >&2
    return 1
  fi
}

_debian_mirror() {
  local mirror
  mirror=$(awk '/^URIs:/ {print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null)
  [ -n "$mirror" ] || mirror=$(awk '$1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}' /etc/apt/sources.list)
  echo "$mirror"
}

_unpack_engine() {
  local cache=$1 work=$1/unpack root=$1/unpack/root mirror suite package tool
  local key=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(_debian_mirror)
  rm -rf "$work"
  mkdir -p "$work"/{debs,lists/partial,apt/archives/partial} "$root"
  # Debian 13 has an engine with BuildKit and Compose 2; its packages also run on Debian 12.
  for suite in bookworm trixie; do echo "deb [signed-by=$key] $mirror $suite main"; done >"$work/sources"
  local apt=(apt-get -qq -o "Dir::Etc::SourceList=$work/sources" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/apt" -o APT::Sandbox::User=root)
  "${apt[@]}" update
  (
    cd "$work/debs" || exit 1
    "${apt[@]}" download {docker.io,docker-cli,docker-compose,docker-buildx,containerd}/trixie \
      {runc,tini,mmdebstrap,iptables,libxtables12,libip4tc2,libip6tc2,libmnl0,libnftnl11,libnfnetlink0}/bookworm \
      libnetfilter-conntrack3/bookworm || exit 1
    for package in *.deb; do dpkg -x "$package" "$root" || exit 1; done
  ) || return 1
  # The engine's name server needs iptables inside each container's network; it runs from here, beside its libraries.
  rm -f "$root"/usr/sbin/ip*tables
  for tool in iptables ip6tables; do
    cat >"$root/usr/sbin/$tool" <<-EOF
		#!/bin/bash
		export LD_LIBRARY_PATH=$cache/root/usr/lib/x86_64-linux-gnu XTABLES_LIBDIR=$cache/root/usr/lib/x86_64-linux-gnu/xtables
		exec -a $tool $cache/root/usr/sbin/xtables-nft-multi "\$@"
	EOF
    chmod +x "$root/usr/sbin/$tool"
  done
  mv "$root" "$cache/root"
  rm -rf "$work"
}

_make_base() {
  local cache=$1
  # What the official slim Python image has: python3 and pip in /usr/local, free to install into, and the shared libpython.
  mmdebstrap -q --variant=minbase --dpkgopt=force-unsafe-io \
    --include=python3-venv,libpython3.11,ca-certificates,usr-is-merged \
    --hook-dir="$cache/root/usr/share/mmdebstrap/hooks/merged-usr" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/lib/*/gconv/*' \
    --customize-hook='cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || :' \
    --customize-hook='chroot "$1" sh -c "update-ca-certificates && python3 -m venv /usr/local" >/dev/null' \
    --customize-hook='rm -rf "$1"/usr/local/lib/python3*/site-packages/setuptools*' \
    --customize-hook='rm -rf "$1"/usr/local/lib/python3*/site-packages/pkg_resources' \
    --customize-hook='find "$1/usr/local" -name __pycache__ -prune -exec rm -rf {} +' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    bookworm "$cache/base.new.tar" "$(_debian_mirror)" >"$cache/base.log" 2>&1 || { cat "$cache/base.log" >&2; return 1; }
  mv "$cache/base.new.tar" "$cache/base.tar"
}

_run_engine() {
  local cache=$1 waited
  ENGINE_STATE=$(mktemp -d /var/tmp/qpi-engine.XXXXXX)
  export DOCKER_HOST=unix://$ENGINE_STATE/docker.sock DOCKER_CONFIG=$ENGINE_STATE/config
  mkdir "$DOCKER_CONFIG"
  ln -s "$cache/root/usr/libexec/docker/cli-plugins" "$DOCKER_CONFIG/cli-plugins"
  [ -e /sys/class/net/docker0 ] || ENGINE_ADDED_BRIDGE=yes
  dockerd -H "$DOCKER_HOST" --data-root "$cache/data" --exec-root "$ENGINE_STATE/exec" -p "$ENGINE_STATE/pid" \
    --storage-driver overlay2 --iptables=false --ip6tables=false --ip-forward=false \
    --bip 172.29.0.1/24 --default-address-pool base=172.30.0.0/16,size=24 >"$ENGINE_STATE/log" 2>&1 9>&- &
  ENGINE_PID=$!
  for ((waited = 0; waited < 150; waited++)); do
    docker info >/dev/null 2>&1 && return
    kill -0 "$ENGINE_PID" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 20 "$ENGINE_STATE/log" >&2
  echo "expected the Docker engine to start; if its cache is damaged, remove $cache" >&2
  return 1
}

_import_base() {
  local cache=$1 bundle=/etc/ssl/certs/ca-certificates.crt
  export BASE_IMAGE=qpi-base:bookworm
  docker image inspect "$BASE_IMAGE" >/dev/null 2>&1 && return
  # The certificates that this machine trusts ride in its own base image, never in the Dockerfile.
  docker import -c "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin" \
    -c "ENV PIP_CERT=$bundle SSL_CERT_FILE=$bundle" -c 'CMD ["python3"]' "$cache/base.tar" "$BASE_IMAGE" >/dev/null
}
