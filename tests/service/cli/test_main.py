"""The command line: every option explained, and one sentence where something cannot be."""

from __future__ import annotations

import socket

import pytest
from qpi_live.camera.device import DeviceUnavailable
from qpi_live.service.cli.main import app
from qpi_live.service.settings import Settings
from typer.testing import CliRunner

from tests.cuda_host.device import HostDevice

WIDE = {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}


def test_help_of_serve_names_and_explains_every_setting() -> None:
    result = CliRunner().invoke(app, ["serve", "--help"], env=WIDE)
    assert result.exit_code == 0
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')}" in result.output
        assert field.description
        assert " ".join(field.description.split()[:3]) in result.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--camera", "webcam"], "expected a camera among simulated, replay, gentl, mmcore, got 'webcam'"),
        (["--camera", "replay:/nowhere/at/all.tif"], "/nowhere/at/all.tif"),
        (["--engine", "magic"], "expected an engine among"),
        (["--baseline", "magic", "--engine", "goldstein"], "expected an engine among"),
        (["--port", "70000"], "port: input should be less than or equal to 65535, got 70000"),
        (["--host", "203.0.113.7"], "expected a free address of this machine, got 203.0.113.7:"),
        (["--carrier", "x"], "carrier: expected FY,FX"),
        (["--settings", "/nowhere.toml"], "expected a settings file at /nowhere.toml, got none"),
        (
            ["--calibration", "/nowhere.tif", "--camera", "simulated", "--size", "64"],
            "calibration: expected a readable",
        ),
    ],
)
def test_serve_with_something_wrong_ends_with_one_sentence_and_code_2(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, ["serve", "--port", "0", *arguments], env=WIDE)
    assert result.exit_code == 2
    assert sentence in result.output
    assert "Traceback" not in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_serve_with_an_engine_on_a_gpu_where_there_is_none_ends_with_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qpi_live.models.engines import classical_cuda

    def fail() -> None:
        raise DeviceUnavailable("expected NVIDIA's driver, got none: install it")

    monkeypatch.setattr(classical_cuda, "open_cuda_device", fail)
    result = CliRunner().invoke(app, ["serve", "--port", "0", "--engine", "goldstein-cuda"], env=WIDE)
    assert result.exit_code == 2
    assert "goldstein-cuda" in result.output
    assert "expected NVIDIA's driver, got none: install it" in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_serve_on_a_port_that_is_taken_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["serve", "--port", str(port)], env=WIDE)
    assert result.exit_code == 2
    assert f"got 127.0.0.1:{port} (Address already in use); choose another --port" in result.output


def test_info_says_what_is_here_and_how_to_get_the_rest() -> None:
    result = CliRunner().invoke(app, ["info"], env=WIDE)
    assert result.exit_code == 0
    for word in ("qpi-live", "CPU cores", "simulated", "replay", "gentl", "goldstein", "GPU"):
        assert word in result.output


def test_info_of_a_missing_extra_names_the_command_that_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from qpi_live.service.cli import info

    monkeypatch.setattr(info, "find_spec", lambda package: None)
    result = CliRunner().invoke(app, ["info"], env=WIDE)
    assert "pip install 'qpi-live[peers]'" in result.output
    for part, extra in (("NVIDIA's binding", "gpu"), ("NVRTC", "gpu"), ("TensorRT", "gpu,tensorrt")):
        line = next(line for line in result.output.splitlines() if part in line)
        assert f"pip install 'qpi-live[{extra}]'" in line


def test_info_of_a_machine_whose_gpu_cannot_be_used_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from qpi_live.service.cli import info

    def fail() -> None:
        raise DeviceUnavailable("expected a GPU, got smoke")

    monkeypatch.setattr(info, "open_device", fail)
    result = CliRunner().invoke(app, ["info"], env=WIDE)
    line = next(line for line in result.output.splitlines() if "line on the GPU" in line)
    assert "no" in line
    assert "expected a GPU, got smoke" in line


def test_info_of_a_machine_with_a_gpu_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from qpi_live.service.cli import info

    monkeypatch.setattr(info, "open_device", HostDevice)
    result = CliRunner().invoke(app, ["info"], env=WIDE)
    assert "line on host, compute 0.0, g++" in result.output
