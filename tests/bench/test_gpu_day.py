"""A day on a GPU where there is none: each step says what is missing, and the next goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

import pytest
from qpi_live.bench.gpu_day.plan import BUDGET_S, steps, table
from qpi_live.bench.gpu_day.runner import Outcome, run_step, write
from qpi_live.bench.gpu_day.wheels import is_enough, name_of, requirements

ROOT = Path(__file__).parents[2]


def step(tmp_path: Path, program: str, limit_s: float = 30.0) -> Outcome:
    return run_step("one", [sys.executable, "-c", program], limit_s, tmp_path, tmp_path / "log.txt")


def day(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHON": sys.executable}
    command = [str(ROOT / "bench" / "gpu_day.sh"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_step_whose_last_line_is_json_gives_it_as_its_result(tmp_path: Path) -> None:
    done = step(tmp_path, "print('first'); print('{\"a\": 1}')")
    assert (done.outcome, done.code, done.result) == ("done", 0, {"a": 1})
    assert "first" in (tmp_path / "log.txt").read_text()


def test_step_that_fails_or_is_not_there_says_why(tmp_path: Path) -> None:
    failed = step(tmp_path, "import sys; sys.exit('no GPU')")
    assert (failed.outcome, failed.code, failed.said.splitlines()[-1]) == ("failed", 1, "no GPU")
    gone = run_step("two", [str(tmp_path / "gone")], 5, tmp_path, tmp_path / "log.txt")
    assert gone.outcome == "not run"
    assert "gone" in gone.said


def test_step_out_of_time_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """The child ignores the request to end, and has a child of its own."""
    inner = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
    program = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {inner!r}])
print(child.pid, flush=True)
time.sleep(60)
"""
    began = monotonic()
    ended = step(tmp_path, program, limit_s=2.0)
    assert (ended.outcome, ended.code) == ("out of time", None)
    assert monotonic() - began < 20
    pid = int(ended.said.splitlines()[-1])
    for _ in range(50):
        if not _is_running(pid):
            break
        sleep(0.1)
    assert not _is_running(pid)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_results_are_whole_after_each_step(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    for number in range(3):
        outcomes.append(step(tmp_path, f"print('{{\"n\": {number}}}')"))
        write(tmp_path / "results.json", outcomes)
        kept = json.loads((tmp_path / "results.json").read_text())["steps"]
        assert [one["result"]["n"] for one in kept] == list(range(number + 1))
    assert (tmp_path / "log.txt").read_text().count("=== one") == 3


def test_log_of_steps_that_say_too_much_stays_below_what_comes_back(tmp_path: Path) -> None:
    for _ in range(3):
        step(tmp_path, "import sys; sys.stdout.write('x' * 9_000_000); print('the end')")
    assert (tmp_path / "log.txt").stat().st_size < 16 << 20
    assert "the end" in (tmp_path / "log.txt").read_text()[-200:]


def test_step_that_prints_without_end_fills_neither_disk_nor_log(tmp_path: Path) -> None:
    flood = "import os\nwhile True: os.write(1, b'x' * 65536)"
    outcome = step(tmp_path, flood, limit_s=1.5)
    assert outcome.outcome == "out of time"
    assert (tmp_path / "log.txt").stat().st_size < 14 << 20
    assert "bytes are left out" in (tmp_path / "log.txt").read_text()
    assert step(tmp_path, "print('{\"a\": 1}')").result == {"a": 1}
    assert (tmp_path / "log.txt").stat().st_size < 14 << 20


def test_step_that_is_killed_is_failed_and_the_next_goes_on(tmp_path: Path) -> None:
    killed = step(tmp_path, "import os, signal; print('so far', flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    assert (killed.outcome, killed.code, killed.said) == ("failed", -9, "so far")
    assert step(tmp_path, "print('{\"a\": 1}')").outcome == "done"


def test_step_that_leaves_a_process_with_its_output_open_holds_nobody_up(tmp_path: Path) -> None:
    left = "import os, subprocess, sys; subprocess.Popen(['sleep', '12'], start_new_session=True); print('{\"a\": 1}')"
    began = monotonic()
    assert step(tmp_path, left).result == {"a": 1}
    assert monotonic() - began < 10


def test_results_that_cannot_be_written_end_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "gone" / "results.json", [])
    assert "is older than what is printed here" in capsys.readouterr().out


def test_plan_fits_its_time_and_its_files_are_there(tmp_path: Path) -> None:
    planned = steps(tmp_path, tmp_path, tmp_path, 1024, 1000)
    assert sum(one.limit_s or 0 for one in planned) < BUDGET_S  # so that something is left to train in
    assert [one.limit_s for one in planned].count(None) == 1
    assert f"of {BUDGET_S} s" in table(planned, BUDGET_S)
    for one in planned:
        named = [word for word in one.command if word.startswith(("bench/", "tests/", "docker/", "models/"))]
        assert all((ROOT / word).exists() for word in named), named


def test_dry_run_prints_the_plan_and_the_sizes_and_does_nothing(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "some_thing-1.0-py3-none-any.whl").write_bytes(bytes(3 << 20))
    done = day("--dry-run", str(wheels), str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "kernels, queue and chain on the GPU against the CPU" in done.stdout
    assert "    3.0 MiB  some_thing-1.0-py3-none-any.whl" in done.stdout
    assert "wheels 3.0 MiB, of 64 MiB: fits" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [(), ("wheels",), ("--only", "kernels", "wheels", "out"), ("wheels", "--dry-run")]
)
def test_day_without_its_two_folders_says_how_it_is_called(arguments: tuple[str, ...], tmp_path: Path) -> None:
    command = [str(ROOT / "bench" / "gpu_day.sh"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "bench/gpu_day.sh [--dry-run] WHEELS OUT [options]" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_training_leaves_a_sixth_of_its_time_for_the_export_however_long_pairs_take(tmp_path: Path) -> None:
    """What stands in for Python takes three seconds over the pairs and writes down what it is asked for."""
    slow = tmp_path / "python"
    slow.write_text(
        '#!/bin/sh\nshift 2\necho "$@" >> "$0.asked"\n'
        'case $1 in pairs) sleep 3 ;; train) mkdir "$3" && echo 1 | tee "$3/log.csv" > "$3/best.pt" ;; esac\n'
    )
    slow.chmod(0o755)
    command = [str(ROOT / "bench" / "train_on_gpu.sh"), str(tmp_path), "1"]
    subprocess.run(command, env={**os.environ, "PYTHON": str(slow)}, timeout=60, check=True, capture_output=True)
    pairs, train, export = Path(f"{slow}.asked").read_text().splitlines()
    assert pairs.startswith("pairs ")
    assert 0.6 < float(train.rpartition("--minutes ")[2]) <= (50 - 3) / 60
    assert export.startswith("export ")


def test_share_of_the_host_is_timed_and_its_bytes_counted(tmp_path: Path) -> None:
    kept = tmp_path / "host.json"
    asked = ["--size", "256", "--repeats", "1", "--residues", "20", "--json", str(kept)]
    command = [sys.executable, "-m", "qpi_live.bench.gpu_day.host_share", *asked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    shares = {one["what"]: one for one in json.loads(kept.read_text())["shares"]}
    assert shares["follows the learned background"]["down_bytes"] == 4 * 256 * 256  # of blocks of one pixel
    assert shares["tells what is too dark"]["down_bytes"] == 4 * 128 * 128
    assert shares["searches for cuts"]["down_bytes"] > 2 * 257**2
    assert all(one["host_ms"] > 0 for one in shares.values())


def test_day_without_a_gpu_says_of_each_step_what_is_missing_and_goes_on(tmp_path: Path) -> None:
    only = "install,environment,classical,overlap"
    done = day(
        str(tmp_path), str(tmp_path / "out"), "--size", "128", "--frames", "10", "--patience", "4", "--only", only
    )
    assert done.returncode == 0, done.stderr
    kept = json.loads((tmp_path / "out" / "results.json").read_text())["steps"]
    assert [one["step"] for one in kept] == only.split(",")
    environment = kept[1]
    assert environment["outcome"] == "done"
    assert environment["result"]["packages"]["numpy"]
    if "nvidia-smi:" not in environment["result"]["gpu"]:
        pytest.skip("there is a GPU")
    for one in kept[2:]:
        assert one["outcome"] == "failed"
        assert "expected a GPU for the engine goldstein-cuda, got none" in " ".join(one["said"].split())


@pytest.mark.parametrize(
    ("name", "number", "enough"),
    [
        ("numpy", "2.5.2", True),
        ("numpy", "1.26.4", False),
        ("onnx-ir", "1.0.0", False),
        ("onnx-ir", "1.1.0", True),
        ("starlette", "0.1", True),  # of which nothing is asked here
        ("fastapi", None, False),
    ],
)
def test_wheel_is_carried_where_the_machine_lacks_it_or_has_it_too_old(
    name: str, number: str | None, enough: bool
) -> None:
    assert is_enough(name, number) == enough


def test_wheels_that_are_asked_for_are_those_of_serving_and_of_the_gpu_line() -> None:
    asked = " ".join(requirements())
    for name in ("fastapi", "numba", "cuda-bindings", "nvidia-cuda-nvrtc", "nvidia-cufft", "pytest"):
        assert name in asked
    assert "pycuda" not in asked
    assert "torch" not in asked  # that machine's own
    assert name_of(Path("Pydantic_Core-2.1-cp312-cp312-manylinux2014_x86_64.whl")) == "pydantic-core"
