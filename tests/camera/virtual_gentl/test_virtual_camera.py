"""The producer itself: as harvesters' own test suite sees it, and where its files must agree."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from qpi_live.camera.virtual_gentl import build as builder
from qpi_live.camera.virtual_gentl.record import record

_SUITE = [sys.executable, "-m", "pytest", "--pyargs", "harvesters.test", "-q", "-p", "no:cacheprovider"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_virtual_camera_passes_harvesters_own_suite(virtual_producer: Path, tmp_path: Path) -> None:
    """The suite comes inside harvesters' wheel; it takes its producer from HARVESTERS_TEST_TARGET."""
    environment = os.environ | {"HARVESTERS_TEST_TARGET": str(virtual_producer)}
    result = subprocess.run(_SUITE, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    summary = result.stdout.strip().splitlines()[-1]
    assert result.returncode == 0, result.stdout[-4000:]
    assert int(summary.split(" passed")[0].split()[-1]) >= 90, summary


def test_build_without_a_compiler_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(builder.BuildError, match="apt install gcc"):
        builder.build(tmp_path / "camera.cti")
    assert not (tmp_path / "camera.cti").exists()


def test_registers_of_the_description_do_not_overlap() -> None:
    root = ElementTree.parse(builder.SOURCES / "device.xml").getroot()
    spans = sorted((address, address + size) for _, address, size, *_ in builder._registers(root))
    assert spans
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert all(start % min(end - start, 8) == 0 for start, end in spans)


def test_features_of_every_category_are_described() -> None:
    root = ElementTree.parse(builder.SOURCES / "device.xml").getroot()
    space = builder._SCHEMA
    described = {element.get("Name") for element in root}
    named = {feature.text for feature in root.iter(f"{space}pFeature")}
    assert named <= described
    pointed = {target.text for tag in ("pValue", "pMax", "pIsLocked") for target in root.iter(f"{space}{tag}")}
    assert pointed <= described


def test_record_of_a_camera_gives_its_frames(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).integers(0, 256, (4, 32, 48)).astype(np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    np.testing.assert_array_equal(record(f"replay:{tmp_path / 'stack.npy'}", 3, None), stack[:3])
