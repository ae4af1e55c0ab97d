"""Archives: the same bytes whoever made them, in whatever order, and however often they were interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from qpi_live.camera.files.recording import open_recording
from qpi_live.models.batch import output
from qpi_live.models.batch.archive import plan, process
from qpi_live.models.batch.job import Job
from qpi_live.models.batch.output import OutputError
from qpi_live.models.batch.region import run_region
from qpi_live.models.batch.workers import Cluster, Outcome, Processes
from qpi_live.models.engine import EngineOptions
from qpi_live.service.cli.main import app
from typer.testing import CliRunner

from tests.camera.files.recorded.recordings import record

FRAMES = 11
PATIENCE_S = 120.0


class Here:
    """Does the work itself, in the order given, until it is told to stop."""

    def __init__(self, most: int = 1000, backwards: bool = False) -> None:
        self._most, self._backwards = most, backwards

    def run(self, tasks: Iterable[tuple[Job, int]]) -> Iterator[Outcome]:
        todo = list(tasks)[:: -1 if self._backwards else 1]
        for job, number in todo[: self._most]:
            yield Outcome(job, number, run_region(job, number))


def jobs_of(recording: Path, out: Path, kind: str = output.ZARR) -> list[Job]:
    """The job, in regions of three frames."""
    import qpi_live.models.batch.job as module

    before = module.shard_frames
    module.shard_frames = lambda *_: 3  # type: ignore[assignment]
    try:
        return plan([str(recording)], out, "goldstein", EngineOptions(), kind)
    finally:
        module.shard_frames = before


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    record(tmp_path / "run", FRAMES)
    return tmp_path / "run"


@pytest.fixture
def expected(recording: Path, tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run makes."""
    summary = process(jobs_of(recording, tmp_path / "undisturbed"), Here())
    assert (summary.frames, summary.made, summary.failed, summary.without_phase) == (FRAMES, FRAMES, [], [])
    return content(tmp_path / "undisturbed")


def test_phase_of_an_archive_is_what_the_engine_makes_of_each_frame(
    recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    phase_rad = zarr.open_array(store=tmp_path / "undisturbed" / "run.ome.zarr", path="0", mode="r")[...]
    assert isinstance(phase_rad, np.ndarray)
    assert phase_rad.shape == (FRAMES, 96, 128)
    assert np.isfinite(phase_rad).all()
    middle = phase_rad[:, 40:56, 36:60].mean((1, 2))  # in the cell, which delays light
    assert (middle > 2).all()
    opened = open_recording(str(tmp_path / "undisturbed" / "run.ome.zarr"))
    assert opened.optics is not None
    opened.close()


@pytest.mark.parametrize("kind", [output.ZARR, output.TIFF])
def test_interrupted_archive_goes_on_and_has_the_same_bytes(recording: Path, tmp_path: Path, kind: str) -> None:
    process(jobs_of(recording, tmp_path / "a", kind), Here())
    first = jobs_of(recording, tmp_path / "b", kind)
    for _ in Here(most=2).run((first[0], number) for number in range(first[0].regions)):
        pass
    summary = process(jobs_of(recording, tmp_path / "b", kind), Here(backwards=True))
    assert (summary.frames, summary.made) == (FRAMES, FRAMES - 6)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    again = process(jobs_of(recording, tmp_path / "b", kind), Here())
    assert (again.frames, again.made) == (FRAMES, 0)


def test_writer_that_is_killed_within_a_region_leaves_nothing_in_the_output(
    recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    (job,) = jobs_of(recording, tmp_path / "out")
    region = job.out / "0" / "c" / "1" / "0" / "0"
    region.parent.mkdir(parents=True)
    program = f"""
import os
from pathlib import Path
from qpi_live.camera.whole_file import whole_file
with whole_file(Path({str(region)!r})) as path:
    path.write_bytes(b"half")
    os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9
    assert [path.name for path in region.parent.rglob("*") if path.is_file()] == ["0"]
    process([job], Here())
    assert content(tmp_path / "out") == expected


def test_archive_as_ome_tiff_opens_as_a_recording_of_phase(recording: Path, tmp_path: Path) -> None:
    import tifffile

    process(jobs_of(recording, tmp_path / "out", output.TIFF), Here())
    with tifffile.TiffFile(tmp_path / "out" / "run phase" / "phase.ome.tif") as tiff:
        assert (tiff.series[0].shape, tiff.series[0].dtype) == ((3, 96, 128), np.float32)


def test_frame_that_cannot_be_inverted_is_nan_and_listed_and_nothing_else(tmp_path: Path) -> None:
    recorded = np.stack(record(tmp_path / "run", FRAMES))
    recorded[4] = 0  # the shutter was closed
    np.save(tmp_path / "dark.npy", recorded)
    summary = process(jobs_of(tmp_path / "dark.npy", tmp_path / "out"), Here())
    assert summary.failed == []
    (listed,) = summary.without_phase
    assert "frame 4:" in listed
    phase_rad = np.asarray(zarr.open_array(store=tmp_path / "out" / "dark.ome.zarr", path="0", mode="r")[...])
    assert [bool(np.isnan(one).all()) for one in phase_rad] == [number == 4 for number in range(FRAMES)]


def test_processes_make_the_same_and_a_killed_one_costs_nothing(
    recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    from multiprocessing import active_children

    killed = []

    def kill_one(_: int) -> None:
        pids = [child.pid for child in active_children() if child.pid is not None]
        if pids and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    summary = process(jobs_of(recording, tmp_path / "out"), Processes(2), kill_one)
    assert killed
    assert (summary.frames, summary.failed) == (FRAMES, [])
    assert content(tmp_path / "out") == expected


@pytest.mark.slow
def test_cluster_makes_the_same_though_a_worker_is_killed_on_the_way(
    recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="pip install 'qpi-live[cluster]'")
    dask = [sys.executable, "-m", "distributed.cli.dask_worker"]
    with distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None) as scheduler:
        address = scheduler.scheduler_address
        workers = [
            subprocess.Popen([*dask, address, "--nthreads", "1", "--no-dashboard", "--no-nanny"], cwd=tmp_path)
            for _ in range(2)
        ]
        try:
            killed = []

            def kill_one(_: int) -> None:
                if not killed:
                    workers[0].kill()
                    killed.append(workers[0].wait())

            cluster = Cluster(address)
            cluster.wait_for(2, PATIENCE_S)
            summary = process(jobs_of(recording, tmp_path / "out"), cluster, kill_one)
            cluster.close()
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
    assert killed
    assert (summary.frames, summary.failed) == (FRAMES, [])
    assert content(tmp_path / "out") == expected


def test_region_that_cannot_be_written_is_listed_and_made_by_the_next_run(
    recording: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    (job,) = jobs_of(recording, tmp_path / "out")

    class WithFailures(Here):
        def run(self, tasks: Iterable[tuple[Job, int]]) -> Iterator[Outcome]:
            for one, number in tasks:
                yield (
                    Outcome(one, number, failed="OSError: no")
                    if number == 1
                    else Outcome(one, number, run_region(one, number))
                )

    summary = process([job], WithFailures())
    assert (summary.frames, len(summary.failed)) == (FRAMES - 3, 1)
    process(jobs_of(recording, tmp_path / "out"), Here())
    assert content(tmp_path / "out") == expected


def test_output_that_is_something_else_is_left_alone(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "run.ome.zarr").mkdir(parents=True)
    (tmp_path / "out" / "run.ome.zarr" / "mine").write_text("mine")
    with pytest.raises(OutputError, match="was not made by this"):
        jobs_of(recording, tmp_path / "out")
    (job,) = jobs_of(recording, tmp_path / "other")
    with pytest.raises(OutputError, match="another engine or recording"):
        output.prepare(replace(job, engine="nasprnet"))


def test_process_command_makes_what_is_asked_for_and_says_what_is_wrong(recording: Path, tmp_path: Path) -> None:
    run = CliRunner().invoke
    made = run(app, ["process", str(recording), "-o", str(tmp_path / "out"), "--workers", "1"])
    assert made.exit_code == 0, made.output
    assert "11 frames have a phase, 11 of them made now" in made.output
    again = run(app, ["process", str(recording), "-o", str(tmp_path / "out")])
    assert "11 frames have a phase, 0 of them made now" in again.output
    wrong = run(app, ["process", str(tmp_path / "nothing"), "-o", str(tmp_path / "out")])
    assert wrong.exit_code == 2
    twice = run(app, ["process", str(recording), str(recording), "-o", str(tmp_path / "out")])
    assert "expected recordings of different names" in twice.output


def _kill_in_a_child(job: Job, number: int) -> float:
    """A region that kills whoever works on it, as one that takes too much memory does, and others that do not."""
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_region(job, number)


@pytest.mark.slow
def test_region_that_kills_its_worker_makes_no_other_fail(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qpi_live.models.batch.workers as module

    monkeypatch.setattr(module, "run_region", _kill_in_a_child)
    jobs = jobs_of(recording, tmp_path / "out")
    summary = process(jobs, Processes(2))
    assert [line.partition(":")[0] for line in summary.failed] == ["run.ome.zarr, frames 3 … 5"]
    assert summary.made == FRAMES - 3


def test_job_names_where_things_are_whatever_folder_a_worker_stands_in(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (job,) = jobs_of(Path("run"), Path("out"))
    assert (job.address, job.out) == (str(recording), tmp_path / "out" / "run.ome.zarr")
    monkeypatch.chdir("/")
    assert process([job], Here()).made == FRAMES


def test_recording_is_closed_when_its_worker_goes_on_to_the_next(recording: Path, tmp_path: Path) -> None:
    record(tmp_path / "second", 3)
    first, second = jobs_of(recording, tmp_path / "out")[0], jobs_of(tmp_path / "second", tmp_path / "out")[0]
    run_region(first, 0)
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in _open_files()}
    assert any(path.startswith(str(recording)) for path in held)
    run_region(second, 0)
    held = {os.readlink(f"/proc/self/fd/{fd}") for fd in _open_files()}
    assert not any(path.startswith(str(recording)) for path in held)


def _open_files() -> list[str]:
    return [fd for fd in os.listdir("/proc/self/fd") if Path(f"/proc/self/fd/{fd}").is_symlink()]
