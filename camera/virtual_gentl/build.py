"""Build the virtual camera: `python -m qpi_live.camera.virtual_gentl.build [OUTPUT.cti]` with gcc, clang or MSVC.

CC names another compiler, one for another system included (`CC=x86_64-w64-mingw32-gcc`); CFLAGS adds to its options.

The register addresses, enumeration values and access rules of the C side are made from device.xml first. So the
description and the code cannot disagree.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

SOURCES = Path(__file__).parent / "source"
DEFAULT_OUTPUT = Path("build") / "virtual-camera.cti"
_SCHEMA = "{http://www.genicam.org/GenApi/Version_1_1}"
_REGISTER_BYTES = 0x1000
_GCC_FLAGS = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-shared"]
_GCC_FLAGS_BY_SYSTEM = {
    "mingw": ["-static"],  # no library of the compiler's own beside the .cti
    "windows": ["-D_CRT_SECURE_NO_WARNINGS"],  # clang with Microsoft's headers
    "": ["-fPIC", "-fvisibility=hidden", "-pthread", "-lm"],
}
_MSVC_FLAGS = ["/nologo", "/std:c11", "/utf-8", "/O2", "/W3", "/LD", "/D_CRT_SECURE_NO_WARNINGS"]


class BuildError(RuntimeError):
    """The virtual camera cannot be built; the text says why and what to do."""


def build(output: Path) -> Path:
    """Compile the producer into `output` (a .cti file) and return its absolute path.

    Raises:
        BuildError: there is no C compiler, or it refused; nothing is left at `output` then.
    """
    compiler = find_compiler()
    output = output.absolute()
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="virtual-gentl-") as scratch:
        generated = Path(scratch)
        _write_description(generated)
        made = generated / "virtual-camera.cti"
        command = _command(compiler, generated, made)
        result = subprocess.run(command, cwd=generated, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise BuildError(f"{compiler} refused the virtual camera:\n{result.stdout}{result.stderr}")
        shutil.copyfile(made, output)
    return output


def find_compiler() -> str:
    """The C compiler to use: what CC names, or the first of cc, gcc, clang and cl that is there.

    Raises:
        BuildError: there is none.
    """
    asked = os.environ.get("CC")
    for name in (asked,) if asked else ("cc", "gcc", "clang", "cl"):
        found = shutil.which(name)
        if found:
            return found
    raise BuildError(
        f"expected a C compiler, found {f'no {asked}' if asked else 'none of cc, gcc, clang and cl'}; "
        "install one (Debian: apt install gcc; Windows: the Build Tools for Visual Studio) or set CC"
    )


def _command(compiler: str, generated: Path, made: Path) -> list[str]:
    sources = [str(path) for path in (*sorted(SOURCES.rglob("*.c")), generated / "description.c")]
    folders = (generated, SOURCES, SOURCES / "platform")
    asked = shlex.split(os.environ.get("CFLAGS", ""))
    if Path(compiler).stem.lower() == "cl":
        return [compiler, *_MSVC_FLAGS, *asked, *(f"/I{folder}" for folder in folders), *sources, f"/Fe{made}"]
    common = [compiler, *_GCC_FLAGS, *asked, *(f"-I{folder}" for folder in folders), *sources, "-o", str(made)]
    target = subprocess.run([compiler, "-dumpmachine"], capture_output=True, text=True, check=False).stdout
    return common + next(flags for system, flags in _GCC_FLAGS_BY_SYSTEM.items() if system in target)


def _write_description(folder: Path) -> None:
    xml = (SOURCES / "device.xml").read_bytes()
    root = ElementTree.fromstring(xml)
    registers = list(_registers(root))
    (folder / "description.h").write_text(_header(registers, list(_enumeration_values(root))), encoding="utf-8")
    (folder / "description.c").write_text(_tables(registers, xml), encoding="utf-8")


def _registers(root: ElementTree.Element) -> Iterator[tuple[str, int, int, bool, bool]]:
    """(name, address, size in bytes, writable, locked while acquiring) of every register."""
    locked = {
        feature.findtext(f"{_SCHEMA}pValue", feature.get("Name", ""))
        for feature in root
        if feature.findtext(f"{_SCHEMA}pIsLocked") == "TLParamsLocked"
    }
    for element in root:
        address = element.findtext(f"{_SCHEMA}Address")
        if address is not None:
            name = element.get("Name", "")
            size = int(element.findtext(f"{_SCHEMA}Length", "0"))
            writable = "W" in element.findtext(f"{_SCHEMA}AccessMode", "RO")
            yield name.removesuffix("Reg"), int(address, 0), size, writable, name in locked


def _enumeration_values(root: ElementTree.Element) -> Iterator[tuple[str, int]]:
    for enumeration in root.iter(f"{_SCHEMA}Enumeration"):
        for entry in enumeration.iter(f"{_SCHEMA}EnumEntry"):
            value = int(entry.findtext(f"{_SCHEMA}Value", "0"), 0)
            yield f"{enumeration.get('Name')}_{entry.get('Name')}", value


def _header(registers: list[tuple[str, int, int, bool, bool]], values: list[tuple[str, int]]) -> str:
    lines = [f"    ADDRESS_{name} = {address:#x}," for name, address, *_ in registers]
    lines += [f"    {name} = {value:#x}," for name, value in values]
    return "\n".join(
        (
            "/* Made from device.xml; do not edit. */",
            "#ifndef VIRTUAL_GENTL_DESCRIPTION_H",
            "#define VIRTUAL_GENTL_DESCRIPTION_H",
            "#include <stdbool.h>",
            "#include <stddef.h>",
            "#include <stdint.h>",
            f"#define REGISTER_BYTES {_REGISTER_BYTES:#x}",
            "enum {",
            *lines,
            "};",
            "typedef struct {",
            "    uint32_t address, size;",
            "    bool writable, locked_while_exposing;",
            "} RegisterRule;",
            "extern const RegisterRule register_rules[];",
            "extern const size_t register_rule_count;",
            "extern const unsigned char device_xml[];",
            "extern const size_t device_xml_size;",
            "#endif",
            "",
        )
    )


def _tables(registers: list[tuple[str, int, int, bool, bool]], xml: bytes) -> str:
    rules = [f"    {{{address:#x}, {size}, {int(rw)}, {int(lock)}}}," for _, address, size, rw, lock in registers]
    # As numbers: MSVC takes no string literal of more than 64 KiB.
    rows = [", ".join(map(str, xml[start : start + 32])) + "," for start in range(0, len(xml), 32)]
    return "\n".join(
        (
            '#include "description.h"',
            "const RegisterRule register_rules[] = {",
            *rules,
            "};",
            "const size_t register_rule_count = sizeof register_rules / sizeof *register_rules;",
            "const unsigned char device_xml[] = {",
            *rows,
            "};",
            "const size_t device_xml_size = sizeof device_xml;",
            "",
        )
    )


def main() -> int:
    """Build into the path given on the command line, or into build/virtual-camera.cti."""
    try:
        print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_OUTPUT))
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
