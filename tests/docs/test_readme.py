"""README and documentation as their readers use them: commands as printed, from a fresh clone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import click
import numpy as np
import pytest
import typer
from qpi_live.service.cli.main import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
PATIENCE_S = 280.0


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, as printed."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


def qpi_commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.findall(r"(?:^|[`/ ])(qpi [a-z][^`#\n]*)", text, flags=re.MULTILINE):
            command = re.split(r"\s{2,}|\s&&|;|…", found)[0].strip()
            if "|" not in command:
                yield page.name, command


@pytest.mark.parametrize(("page", "command"), sorted(set(qpi_commands())))
def test_qpi_command_in_the_documentation_has_these_options(page: str, command: str) -> None:
    words = shlex.split(command.rstrip(".,)"))[1:]
    group = typer.main.get_command(app)
    assert isinstance(group, click.Group) or hasattr(group, "commands"), page
    name = words[0]
    assert name in group.commands, f"{page}: qpi has no command {name}"  # type: ignore[attr-defined]
    named = group.commands[name]  # type: ignore[attr-defined]
    if hasattr(named, "commands") and len(words) > 1:  # a group of commands: `qpi models promote`
        assert words[1] in named.commands, f"{page}: qpi {name} has no command {words[1]}"
        named = named.commands[words[1]]
    known = {option for parameter in named.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known.add("--help")
    unknown = [word for word in words[1:] if re.match(r"--?[a-z]", word) and word not in known]
    assert not unknown, f"{page}: `{command}` names {unknown}"


def test_make_targets_in_the_documentation_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        asked = set(re.findall(r"(?:^ {4}|`|^)make ([a-z-]+)", text, flags=re.MULTILINE))
        assert asked <= targets, f"{page.name}: {asked - targets}"


def test_links_between_the_pages_lead_somewhere() -> None:
    for page in [*PAGES, *(ROOT / "docs" / "decisions").glob("*.md"), ROOT / "examples" / "README.md"]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_decision_is_in_the_index_under_its_number() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        number = int(page.name[:4])
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. "), page.name
        assert re.search(rf"^\| {number} \| .*\({re.escape(page.name)}\)", index, flags=re.MULTILINE), page.name


def _rooms_named() -> set[str]:
    """The folders that CONTRIBUTING's table of rooms names, `{a,b}` written out."""
    rooms = set()
    for cell in re.findall(
        r"^\| (`[^|]*) \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    ):
        for name in re.findall(r"`([^`]*)`", cell):
            before, brace, rest = name.partition("{")
            choices, _, after = rest.partition("}")
            rooms |= {f"{before}{choice}{after}".rstrip("/") for choice in (choices.split(",") if brace else [""])}
    return rooms


def test_rooms_that_contributing_names_are_all_that_there_are() -> None:
    packages = [ROOT / name for name in ("camera", "models", "service")]
    pages = {page.parent for package in packages for page in package.glob("*/__init__.py")}
    there = {room.relative_to(ROOT).as_posix() for room in (*packages, *pages)} | {"service/web"}
    named = _rooms_named()
    assert named - {"bench", "docker", "examples", "tests"} == there
    assert all((ROOT / room).is_dir() for room in named)


def test_paths_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    paths = re.findall(r"`((?:camera|models|service|tests|docs|bench)/[^`{]*)`", text)
    assert len(paths) > 12
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_rooms_hold_at_most_twenty_files() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    code = ("camera", "models", "service", "bench", "docker", "examples", "tests")
    listed = subprocess.run(["git", "ls-files", "-z", *code], cwd=ROOT, capture_output=True, text=True, check=True)
    files = Counter(Path(name).parent.as_posix() for name in listed.stdout.split("\0") if name)
    assert {room: count for room, count in files.items() if count > 20} == {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.fixture(scope="module")
def fresh_clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed, and an empty home beside it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    if not _is_free(8000):
        pytest.skip("port 8000, which the README names, is taken on this machine")
    folder = tmp_path_factory.mktemp("reader")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "qpi-live")], check=True)
    (folder / "home").mkdir()
    return folder / "qpi-live"


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command as a reader types it, in the clone, with an empty home."""
    environment = {**os.environ, "HOME": str(folder.parent / "home")}
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_readme_commands_from_a_fresh_clone_run_as_printed(fresh_clone: Path) -> None:
    (install,) = (block for block in blocks(ROOT / "README.md", "sh") if "-m venv" in block)
    (curls,) = (block for block in blocks(ROOT / "README.md", "sh") if block.startswith("curl"))
    (python,) = blocks(ROOT / "README.md", "python")
    *setup, serve = install.strip().splitlines()
    for command in setup:
        done = shell(command, fresh_clone)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    environment = {**os.environ, "HOME": str(fresh_clone.parent / "home")}
    service = subprocess.Popen(serve, shell=True, cwd=fresh_clone, env=environment, start_new_session=True)
    try:
        _until_live(fresh_clone, service)
        for command in curls.strip().splitlines():
            done = shell(command, fresh_clone)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert np.load(fresh_clone / "phase.npy").shape == (1024, 1024)
        assert (fresh_clone / "phase.tif").read_bytes()[:2] in (b"II", b"MM")
        # The loop has no end, as on the page: three lines of it are enough.
        (fresh_clone / "readme.py").write_text(python)
        done = shell("timeout 60 .venv/bin/python -u readme.py | head -n 3", fresh_clone)
        assert len(done.stdout.splitlines()) == 3, done.stderr
        assert "(1024, 1024)" in done.stdout
    finally:
        os.killpg(service.pid, signal.SIGINT)
        service.wait(30)


def _until_live(folder: Path, service: subprocess.Popen[bytes]) -> None:
    give_up = monotonic() + PATIENCE_S
    ask = ["curl", "--silent", "--fail", "--output", "first.npy", "http://127.0.0.1:8000/api/v1/frames/latest"]
    while subprocess.run(ask, cwd=folder, check=False).returncode != 0:
        assert service.poll() is None, "qpi serve ended"
        assert monotonic() < give_up, "no frame from qpi serve"
        sleep(0.5)  # between questions; what counts is the answer
