"""The producer as each compiler makes it, for Linux and for Windows, driven through the GenTL C interface alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from qpi_live.camera.virtual_gentl import build as builder

_DRIVER = Path(__file__).parent / "drive_producer.c"
_MINGW, _MSVC = "x86_64-w64-mingw32-gcc", "cl"
_PACKAGES = {"gcc": "gcc", "clang": "clang", "lld-link": "lld", _MINGW: "gcc-mingw-w64-x86-64", "wine": "wine wine64"}
_MSVC_TARGET = "--target=x86_64-pc-windows-msvc"
# MinGW's headers for clang where it speaks Microsoft's dialect: they would hide attributes from clang's own headers.
_MSVC_HEADER = """
#include <_mingw.h>
#undef __attribute__
#undef __MINGW_ATTRIB_NORETURN
#undef __MINGW_ATTRIB_DEPRECATED
#define __MINGW_ATTRIB_NORETURN
#define __MINGW_ATTRIB_DEPRECATED
"""


def _need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not on the PATH; on Debian: sudo apt-get install {_PACKAGES[program]}")


def _run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    asked = os.environ | environment
    result = subprocess.run(command, cwd=folder, env=asked, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}:\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module", params=["gcc", "clang", _MINGW, _MSVC])
def compiler(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    _need(*(("clang", "lld-link", _MINGW) if name == _MSVC else (name,)))
    return name


@pytest.fixture(scope="module")
def producer(compiler: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The .cti as `compiler` makes it, warnings being errors, with description.h beside it."""
    folder = tmp_path_factory.mktemp("compiled")
    made = folder / "virtual-camera.cti"
    builder._write_description(folder)
    if compiler == _MSVC:
        _build_as_msvc_would(folder, made)
        return made
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", compiler)
        patch.setenv("CFLAGS", "-Werror")
        return builder.build(made)


def _build_as_msvc_would(folder: Path, made: Path) -> None:
    """What is asked of cl, asked of clang in its place, with MinGW's headers and libraries in place of Microsoft's."""
    crt, libgcc = (
        Path(_run([_MINGW, question], folder).strip()).resolve()
        for question in ("-print-file-name=dllcrt2.o", "-print-libgcc-file-name")
    )
    (folder / "msvc.h").write_text(_MSVC_HEADER)
    command = builder._command(_MSVC, folder, made)
    sources = [word for word in command if word.endswith(".c")]
    options = [word for word in command[1:] if word not in sources and not word.startswith(("/LD", "/Fe"))]
    in_place = ["/c", "/MD", "/GS-", "/WX", "/FImsvc.h", "-imsvc", crt.parent.parent / "include", "--"]
    _run(["clang", "--driver-mode=cl", _MSVC_TARGET, *options, *in_place, *sources], folder)
    libraries = [crt.parent / f"lib{name}.a" for name in ("mingw32", "mingwex", "kernel32", "msvcrt")]
    missing = [f"-alternatename:{name}=__ImageBase" for name in ("__image_base__", "_fltused")]
    entry = ["-dll", "-nodefaultlib", "-entry:DllMainCRTStartup", f"-out:{made}"]
    _run(["lld-link", *entry, *missing, *sorted(folder.glob("*.obj")), crt, *libraries, libgcc], folder)


def test_producer_of_every_compiler_exports_all_of_the_interface(producer: Path) -> None:
    declared = re.findall(r"^GC_API (\w+)\(", (builder.SOURCES / "gentl.h").read_text(), re.MULTILINE)
    assert len(declared) > 50
    exported = producer.read_bytes()
    assert [name for name in declared if f"\0{name}\0".encode() not in exported] == []


def test_producer_of_every_compiler_does_what_it_is_asked(compiler: str, producer: Path, tmp_path: Path) -> None:
    """100 frames with their pixels and ids, a trigger, each fault, the bus, errors; see `drive_producer.c`."""
    is_windows = compiler in (_MINGW, _MSVC)
    if is_windows:
        _need("wine")
    shutil.copy(producer, tmp_path)
    frame, y, x = np.mgrid[:3, :1024, :1024]
    np.save(tmp_path / "stack.npy", (31 * frame + 7 * y + 3 * x).astype(np.uint8))
    by = _MINGW if is_windows else compiler
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{producer.parent}", f"-I{builder.SOURCES}"]
    system = ["-static"] if is_windows else ["-pthread", "-Wl,-rpath,$ORIGIN"]
    program = tmp_path / "drive.exe"
    _run([by, *flags, _DRIVER, "./virtual-camera.cti", *system, "-o", program], tmp_path)
    environment = {"VIRTUAL_GENTL_BUS": ".", "VIRTUAL_GENTL_SOURCE": "stack.npy", "WINEDEBUG": "-all"}
    said = _run([*(["wine"] if is_windows else []), program], tmp_path, **environment)
    assert "all as it should be" in said
