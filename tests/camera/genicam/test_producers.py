"""Producers: each is loaded in a process of its own, and each gets its line."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.genicam import producers
from qpi_live.camera.genicam.camera import GenicamCamera
from qpi_live.camera.genicam.producers import inspect_producers, producers_for, split_address
from qpi_live.camera.source import CameraOptions
from qpi_live.camera.virtual_gentl.build import BuildError, find_compiler

_CRASHING = "int GCInitLib(void) { return *(volatile int *)0; }"
_HANGING = "#include <unistd.h>\nint GCInitLib(void) { for (;;) pause(); }"


def _compiled(folder: Path, name: str, source: str) -> Path:
    """A producer that does this as soon as it is loaded: what else GenTL asks for comes with the constructor."""
    (folder / f"{name}.c").write_text(
        source + "\n__attribute__((constructor)) static void at_once(void) { GCInitLib(); }"
    )
    made = folder / f"{name}.cti"
    try:
        command = [find_compiler(), "-shared", "-fPIC", "-O0", "-o", str(made), str(folder / f"{name}.c")]
    except BuildError as error:
        pytest.skip(str(error))
    subprocess.run(command, check=True)
    return made


def test_inspect_producers_names_every_camera_of_each(virtual_producer: Path, viky_producer: Path) -> None:
    ours, theirs = inspect_producers([str(virtual_producer), str(viky_producer)])
    assert [(camera.serial, camera.access) for camera in ours.cameras] == [("VC0000", "free"), ("VC0001", "free")]
    assert {(camera.vendor, camera.model) for camera in ours.cameras} == {("qpi-live", "Virtual off-axis camera")}
    assert [camera.serial for camera in theirs.cameras] == ["0", "1", "2"]
    assert not ours.problem
    assert not theirs.problem


def test_inspect_producers_with_bad_ones_among_good_ones_hides_none(
    virtual_producer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producers, "_LOADING_S", 10.0)
    (tmp_path / "broken.cti").write_bytes(b"not a library")
    files = [
        _compiled(tmp_path, "crashing", _CRASHING),
        tmp_path / "broken.cti",
        _compiled(tmp_path, "hanging", _HANGING),
        tmp_path / "missing.cti",
        virtual_producer,
    ]
    reports = inspect_producers([str(file) for file in files])
    assert [report.producer for report in reports] == [str(file) for file in files]
    assert "SIGSEGV" in reports[0].problem
    assert "cannot be loaded" in reports[1].problem
    assert "did not return" in reports[2].problem
    assert "found none" in reports[3].problem
    assert all(str(file) in report.problem for file, report in zip(files[:-1], reports[:-1], strict=True))
    assert [camera.serial for camera in reports[4].cameras] == ["VC0000", "VC0001"]


def test_open_by_serial_alone_finds_the_camera_beside_a_crashing_driver(
    virtual_producer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _compiled(tmp_path, "a_crashing", _CRASHING)
    shutil.copy(virtual_producer, tmp_path / "b_good.cti")
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(tmp_path))
    camera = GenicamCamera.open("#VC0001", CameraOptions())
    camera.stop()
    assert camera.identity.serial == "VC0001"
    with pytest.raises(CameraUnavailable, match=r"serial number nope.*VC0000.*a_crashing\.cti"):
        GenicamCamera.open("#nope", CameraOptions())


def test_producers_for_takes_the_folders_of_the_environment(
    virtual_producer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENICAM_GENTL64_PATH", os.pathsep.join(["/nowhere", *[str(virtual_producer.parent)] * 2]))
    assert producers_for("") == [str(virtual_producer)]


def test_producers_for_without_any_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    with pytest.raises(CameraUnavailable, match="GENICAM_GENTL64_PATH"):
        producers_for("")


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("/opt/a.cti", ("/opt/a.cti", None)),
        ("/opt/a.cti#7", ("/opt/a.cti", "7")),
        ("/opt/no #1/a.cti#7", ("/opt/no #1/a.cti", "7")),
        ("/opt/no #1/A.CTI", ("/opt/no #1/A.CTI", None)),
        ("/opt/no #1/a.cti#", ("/opt/no #1/a.cti", None)),
        ("#7", ("", "7")),
        ("", ("", None)),
    ],
)
def test_split_address_parts_path_and_serial(address: str, parts: tuple[str, str | None]) -> None:
    assert split_address(address) == parts
