"""What tests of several packages need: producers of GenICam cameras, and a browser."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from qpi_live.camera.virtual_gentl.build import BuildError, build

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


# What takes seconds before the first assertion: compilers, browsers, processes, training.
_SLOW_FIXTURES = {"virtual_producer", "viky_producer", "browser", "service", "device", "pairs", "trained", "searched"}
_SLOW_ROOMS = (
    "tests/bench/",
    "tests/docker/",
    "tests/examples/",
    "tests/models/batch/",
    "tests/models/classical/cuda/",
    "tests/models/export/",
    "tests/models/nets/",  # torch, which takes longer to import than most rooms take to test
    "tests/models/promotion/",
    "tests/models/training/",
    "tests/service/web/",
)
_SLOW_FILES = ("test_shipped_network.py",)
_STARTERS = ("subprocess", "Service")
"""What a module of tests has that starts processes."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only tests that build, start and train nothing")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if not config.getoption("--quick"):
        return None
    path = collection_path.relative_to(config.rootpath).as_posix() if collection_path != config.rootpath else ""
    return True if f"{path}/".startswith(_SLOW_ROOMS) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = [item for item in items if _is_slow(item)]
    if config.getoption("--quick"):
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not _is_slow(item)]
    elif hasattr(config, "workerinput"):  # several at once: no worker shall be left with the longest file at the end
        first = {item.path for item in slow}
        items.sort(key=lambda item: item.path not in first)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    # Once pymmcore-plus is imported, all libraries log all they do. pytest formats these lines, tens of thousands a
    # minute, and raises where a library has made a mistake in one, as p4p and nbclient have.
    logging.getLogger().setLevel(logging.WARNING)


def _is_slow(item: pytest.Item) -> bool:
    names = set(getattr(item, "fixturenames", ()))
    marked = any(item.get_closest_marker(name) for name in ("slow", "browser", "gpu"))
    path = item.nodeid.partition("::")[0]
    starts = any(hasattr(getattr(item, "module", None), name) for name in _STARTERS)
    return bool(
        marked or starts or names & _SLOW_FIXTURES or path.startswith(_SLOW_ROOMS) or path.endswith(_SLOW_FILES)
    )


@pytest.fixture(scope="session")
def virtual_producer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The virtual camera's .cti, freshly compiled."""
    pytest.importorskip("harvesters", reason="needs harvesters: pip install 'qpi-live[camera]'")
    try:
        return build(tmp_path_factory.mktemp("producer") / "virtual-camera.cti")
    except BuildError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def viky_producer() -> Path:
    """A third party's producer of three small cameras, which comes with the binding."""
    genicam = pytest.importorskip("genicam", reason="needs genicam: pip install 'qpi-live[camera]'")
    return Path(genicam.__file__).parent / "viky.cti"


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    paths = [path for name in _CHROMIUMS if (path := shutil.which(name))]
    if not paths:
        pytest.skip(f"none of {', '.join(_CHROMIUMS)} is on the PATH; on Debian: sudo apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=paths[0], args=_QUIET)
        yield chromium
        chromium.close()
