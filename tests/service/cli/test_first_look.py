"""What is refused before the seconds that importing takes."""

import subprocess
import sys
from pathlib import Path

import pytest
from qpi_live.camera.gpu import cuda_device
from qpi_live.models import engine
from qpi_live.service.cli.first_look import refuse_at_once

# What makes a start slow: the server, the page's models, compiled kernels, the networks' runtime.
_HEAVY = ("fastapi", "pydantic", "numba", "onnxruntime", "typer", "rich", "scipy")
_LOOK = """
import sys
from qpi_live.service.cli import entry
sys.argv = ["qpi", *{arguments!r}]
try:
    entry.main()
except SystemExit as ended:
    print(ended.code, [name for name in {heavy!r} if name in sys.modules])
"""


def look(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = _LOOK.format(arguments=list(arguments), heavy=_HEAVY)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "why_no_driver", lambda: "expected an NVIDIA GPU that works, got: no driver")


@pytest.mark.parametrize("command", [("serve",), ("process", "run.tif", "-o", "phase")])
def test_compiled_network_that_is_missing_is_refused_before_anything_heavy_is_imported(command: tuple[str]) -> None:
    done = look(*command, "--engine", "no-such.trt")
    assert done.stdout.strip() == "2 []"
    assert "no-such.trt, got no such file; build one: qpi compile" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--engine", "{}"], ["--engine={}"], ["--baseline", "{}"]])
def test_compiled_network_without_a_driver_is_refused_in_one_sentence(
    no_driver: None, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    compiled = tmp_path / "nasprnet.trt"
    compiled.write_bytes(b"compiled")
    with pytest.raises(SystemExit) as ended:
        refuse_at_once(["serve", *(one.format(compiled) for one in arguments)], {})
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == "Cannot serve: nasprnet.trt needs a GPU: expected an NVIDIA GPU that works, got: no driver\n"


def test_engine_in_the_environment_is_looked_at_unless_the_command_names_another(no_driver: None) -> None:
    with pytest.raises(SystemExit):
        refuse_at_once(["serve"], {"QPI_ENGINE": "goldstein-cuda"})
    with pytest.raises(SystemExit):
        refuse_at_once(["serve"], {"qpi_baseline": "goldstein-cuda"})
    refuse_at_once(["serve", "--engine", "goldstein"], {"QPI_ENGINE": "goldstein-cuda"})
    refuse_at_once(["cameras"], {"QPI_ENGINE": "goldstein-cuda"})


@pytest.mark.parametrize("named_by", ["the option", "the option in one word", "the environment", "the folder"])
@pytest.mark.parametrize("setting", ["engine", "baseline"])
def test_engine_in_a_settings_file_is_refused_before_anything_heavy_is_imported(
    no_driver: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    setting: str,
    named_by: str,
) -> None:
    file = tmp_path / "qpi.toml"
    file.write_text(f'port = 0\n{setting} = "goldstein-cuda"\n', "utf-8-sig")
    if named_by == "the folder":
        monkeypatch.chdir(tmp_path)
    option = {"the option": ["--settings", str(file)], "the option in one word": [f"--settings={file}"]}
    arguments = ["serve", *option.get(named_by, [])]
    environment = {"QPI_SETTINGS": str(file)} if named_by == "the environment" else {}
    with pytest.raises(SystemExit) as ended:
        refuse_at_once(arguments, environment)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("Cannot serve: expected a GPU for the engine goldstein-cuda")
    assert said.count("\n") == 1
    refuse_at_once([*arguments, f"--{setting}", "goldstein"], environment)
    refuse_at_once(arguments, environment | {f"QPI_{setting.upper()}": "goldstein"})


def test_settings_file_with_a_missing_network_ends_the_start_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    file = tmp_path / "gpu.toml"
    file.write_text('engine = "no-such.trt"\n')
    done = look("serve", "--settings", str(file))
    assert done.stdout.strip() == "2 []"
    assert "no-such.trt, got no such file; build one: qpi compile" in done.stderr
    assert done.stderr.count("\n") == 1


def test_compiled_network_that_a_file_in_this_folder_names_is_refused_as_native_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "qpi.toml").write_text('engine = "nasprnet.trt"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        refuse_at_once(["serve"], {})
    assert "expected no native code from a file that merely lies in this folder" in capsys.readouterr().err


@pytest.mark.parametrize("written", ["engine = 5\n", "[engine]\n", "port = 0\n"])
def test_settings_file_that_names_no_engine_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    (tmp_path / "qpi.toml").write_text(written)
    monkeypatch.chdir(tmp_path)
    refuse_at_once(["serve"], {})


def test_settings_file_that_is_not_there_or_broken_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("engine = \n")
    for file, expected in ((broken, "expected TOML in"), (tmp_path / "gone.toml", "expected a settings file at")):
        with pytest.raises(SystemExit) as ended:
            refuse_at_once(["serve", "--settings", str(file)], {})
        assert ended.value.code == 2
        assert capsys.readouterr().err.startswith(f"Cannot serve: {expected}")


@pytest.mark.parametrize(
    "arguments", [[], ["serve"], ["serve", "--engine"], ["serve", "--help", "--engine", "x.trt"], ["process", "x.trt"]]
)
def test_what_names_no_such_engine_goes_on(arguments: list[str]) -> None:
    refuse_at_once(arguments, {})


def test_driver_that_is_there_lets_a_compiled_network_be_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda_device.ctypes, "CDLL", lambda name: name)
    assert cuda_device.why_no_driver() is None
    compiled = tmp_path / "nasprnet.trt"
    compiled.write_bytes(b"compiled")
    assert engine.why_not_at_once(str(compiled)) is None
