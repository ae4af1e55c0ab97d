"""Make the environment of this interpreter smaller: about 600 MB become 430.

Leaves out what serving never touches:

- the packages' own tests and declarations, and symbols that only a debugger reads;
- codecs of video, simulations, textures and animations, each of which imagecodecs and Pillow treat as optional;
- the colours of languages other than Python;
- what ONNX Runtime has for programs in C and for preparing networks;
- the parts of SciPy that neither this program nor the rest of SciPy loads.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGES = Path(sysconfig.get_path("purelib"))
NOT_IN_RECORDINGS = (
    *("apng", "avif", "bcn", "bmp", "cms", "gif", "lzham", "meshopt", "pcodec", "rgbe", "sperr", "sz3", "ultrahdr"),
    "tiff",  # libtiff; tifffile reads such files, and asks for their codecs one by one
)
NEVER_TOUCHED = (
    *(f"imagecodecs/_{codec}.*.so" for codec in NOT_IN_RECORDINGS),
    "imagecodecs.libs/libaom-*",
    "imagecodecs.libs/libavif-*",
    "imagecodecs.libs/libSZ3c-*",
    "imagecodecs.libs/libcpcodec-*",
    "imagecodecs.libs/libSPERR-*",
    "imagecodecs.libs/libuhdr-*",
    "pillow.libs/libavif-*",
    "onnxruntime/capi/libonnxruntime.so*",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "pygments/lexers/[a-oq-z]*.py",
    "pygments/lexers/_[a-z]*_builtins.py",
    "scipy/cluster",
    "scipy/datasets",
    "scipy/integrate",
    "scipy/interpolate",
    "scipy/io",
    "scipy/odr",
    "scipy/signal",
    "scipy/stats",
    "**/tests",
    "**/*.pxd",
    "**/*.pyi",
)


def strip(library: Path) -> None:
    """Drop a library's symbol table, if it still loads afterwards; what was edited after linking may not."""
    smaller = library.with_name(f"{library.name}.smaller")
    if works("strip", "--strip-unneeded", "-o", smaller, library) and loads(smaller):
        smaller.chmod(library.stat().st_mode)
        smaller.replace(library)
    else:
        smaller.unlink(missing_ok=True)


def loads(library: Path) -> bool:
    """Whether the dynamic linker takes `library`, found out in a process of its own."""
    return works(sys.executable, "-IS", "-c", "import ctypes, sys; ctypes.CDLL(sys.argv[1])", library)


def works(*command: str | Path) -> bool:
    """Whether `command` succeeds."""
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def main() -> None:
    """Slim the environment and say what is left."""
    for pattern in NEVER_TOUCHED:
        for path in list(PACKAGES.glob(pattern)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)  # it may have lain in a folder that is gone
    for library in [file for file in PACKAGES.rglob("*.so*") if file.is_file() and not file.is_symlink()]:
        strip(library)
    size = sum(file.stat().st_size for file in PACKAGES.rglob("*") if file.is_file())
    print(f"{PACKAGES}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
