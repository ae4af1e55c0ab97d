"""The wheels that a machine without a network lacks: collected here, installed there. Standard library only.

    bench/gpu_day/collect_wheels.sh WHEELS [THERE]

THERE is what that machine has, as `pip list --format=freeze` prints it there. It is left out where it is new enough.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_EXTRAS = ("gpu",)
# What the steps need beside serving: torch is that machine's own, for it must fit the GPU.
_BESIDE = (
    "onnx>=1.17",
    "onnx-ir>=1.1",
    "onnxscript>=0.5",
    "sympy>=1.13",
    "pytest>=8.3",
    "pytest-timeout>=2.3",
    "hypothesis>=6.120",
    "psutil>=6",
)
_NOT_NEEDED = {"imagecodecs"}  # 27 MiB, for compressed TIFF, which no step reads
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (35, 34, 31, 28, 27, 26, 24, 17, 12, 5)] + ["linux_x86_64"]
_MIB = 1 << 20


def main() -> None:
    """See the file's head."""
    parser = argparse.ArgumentParser(prog="bench/gpu_day/collect_wheels.sh")
    parser.add_argument("wheels", type=Path, help="folder to write, or with --install to read")
    parser.add_argument("there", type=Path, nargs="?", help="what the other machine has, `pip list --format=freeze`")
    parser.add_argument("--python", default="3.12", help="the other machine's Python")
    parser.add_argument("--install", type=Path, metavar="SITE", help="install those that are missing here into SITE")
    asked = parser.parse_args()
    if asked.install is not None:
        install(asked.wheels, asked.install)
    else:
        collect(asked.wheels, _frozen(asked.there), asked.python)


def collect(folder: Path, there: dict[str, str], python: str) -> None:
    """Download what the steps need and `there` has not, or too old, and print the sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        needed = Path(scratch) / "needed.txt"
        needed.write_text("\n".join(requirements()))
        platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
        command = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary=:all:", "--dest", str(folder)]
        command += ["--python-version", python, "--implementation", "cp", *platforms]
        subprocess.run([*command, "--requirement", str(needed)], check=True)
    total = 0
    for wheel in sorted(folder.glob("*.whl"), key=lambda wheel: -wheel.stat().st_size):
        if is_enough(name_of(wheel), there.get(name_of(wheel))):
            wheel.unlink()
            continue
        total += wheel.stat().st_size
        print(f"{wheel.stat().st_size / _MIB:7.1f} MiB  {wheel.name}")
    print(f"{total / _MIB:7.1f} MiB in all, in {folder}")


def install(folder: Path, site: Path) -> None:
    """Install into `site` the wheels of packages that this Python lacks or has too old; the others are its own."""
    missing = [wheel for wheel in sorted(folder.glob("*.whl")) if not is_enough(name_of(wheel), _here(name_of(wheel)))]
    print(f"{len(missing)} wheels are missing here: {', '.join(map(name_of, missing))}")
    if missing:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        wheels = map(str, missing)
        subprocess.run([*command, "--no-cache-dir", "--upgrade", "--target", str(site), *wheels], check=True)


def is_enough(name: str, number: str | None) -> bool:
    """Whether version `number` of a package is what the steps need; None: it is not there."""
    if number is None:
        return False
    least = next((bound for need, bound in map(_bound, requirements()) if need == name), ())
    return _numbers(number) >= least


def _bound(requirement: str) -> tuple[str, tuple[int, ...]]:
    name = re.split(r"[^A-Za-z0-9._-]", requirement)[0]
    at_least = re.search(r">=([0-9.]+)", requirement)
    return _plain(name), _numbers(at_least[1]) if at_least else ()


def _numbers(number: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", number.split("+", maxsplit=1)[0])[:3])


def requirements() -> Iterator[str]:
    """What the steps need, without what its own marker leaves out on Linux."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]
    extras: Sequence[str] = [one for extra in _EXTRAS for one in project["optional-dependencies"][extra]]
    yield from (one for one in (*project["dependencies"], *extras, *_BESIDE) if _bound(one)[0] not in _NOT_NEEDED)


def name_of(wheel: Path) -> str:
    """The package's name in a wheel's."""
    return _plain(wheel.name.split("-")[0])


def _plain(name: str) -> str:
    """A package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _frozen(file: Path | None) -> dict[str, str]:
    pairs = (line.split("==") for line in file.read_text().splitlines() if "==" in line) if file else ()
    return {_plain(name): number for name, number in pairs}


def _here(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
