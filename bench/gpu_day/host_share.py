"""Times what of a frame the host does beside the GPU, and counts the bytes that travel for it.

    python -m qpi_live.bench.gpu_day.host_share

A download's time is measured where there is a GPU, with the wait for it; elsewhere it is what PCIe 4 with 16 lanes
takes for so many bytes. The cuts' time includes their prices, which beside a GPU are the GPU's. The last line is the
whole result as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from qpi_live.bench.frames import instrument_examples
from qpi_live.bench.holograms import speckled
from qpi_live.bench.report import JsonFile, console, finish
from qpi_live.camera.device import Device, DeviceUnavailable
from qpi_live.camera.gpu.cuda_device import open_device
from qpi_live.camera.simulation.instrument import Instrument
from qpi_live.models.artifacts.background_network import BackgroundNetwork
from qpi_live.models.classical.aberration import block_means
from qpi_live.models.classical.background import BackgroundFit
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.modulation import dark_blocks, modulation_block_px
from qpi_live.models.classical.unwrapping.branch_cuts import find_residues, place_cuts
from qpi_live.models.engine import POLYNOMIAL, EngineOptions
from qpi_live.models.engines.classical import ClassicalEngine
from qpi_live.models.engines.learned_background import LearnedBackground
from qpi_live.models.engines.tracked_background import TrackedBackground
from qpi_live.models.sideband import Sideband
from rich.table import Table

_INSTRUMENT = Path(__file__).parents[2] / "camera" / "data" / "glioblastoma.json"
_SEED = 610_000
_PCIE_BYTES_PER_S = 25e9  # of 16 lanes of PCIe 4, as copies reach it
_LINK_BYTES = _RESIDUE_BYTES = 4
_COEFFICIENT_BYTES = 8


@dataclass(frozen=True, slots=True)
class Share:
    """One thing that the host does.

    Attributes:
        what: it is.
        when: it is done.
        down_bytes, up_bytes: that travel for it.
        down_ms: how long those take that come down.
        host_ms: how long it takes one core at least; `usual_ms`: half of the times.
    """

    what: str
    when: str
    down_bytes: int
    up_bytes: int
    down_ms: float
    host_ms: float
    usual_ms: float


def main(
    size: Annotated[int, typer.Option(min=128, help="Edge of the square frames, in pixels.")] = 1024,
    repeats: Annotated[int, typer.Option(min=1, help="How often each is timed.")] = 30,
    residues: Annotated[str, typer.Option(help="Numbers of residues whose cuts to search for.")] = "500,6000,15000",
    json: JsonFile = None,
) -> None:
    """Print the table."""
    try:
        device: Device | None = open_device()
    except DeviceUnavailable:
        device = None
    shares = [_darkness(size, repeats, device), *_of_background(size, repeats, device)]
    shares += [_cuts(int(number), size, repeats, device) for number in residues.split(",") if number]
    where = f"of PCIe 4, {_PCIE_BYTES_PER_S / 1e9:.0f} GB/s" if device is None else f"on {device.identity.name}"
    table = Table("what the host does", "when", "down", f"takes, {where}", "up", "one core: least", "median")
    for share in shares:
        times = f"{share.down_ms:.3f} ms", f"{share.up_bytes} B", f"{share.host_ms:.2f} ms", f"{share.usual_ms:.2f} ms"
        table.add_row(share.what, share.when, f"{share.down_bytes} B", *times)
    console.print(table)
    finish({"size": size, "is_measured": device is not None, "shares": [asdict(share) for share in shares]}, json)


def _darkness(size: int, repeats: int, device: Device | None) -> Share:
    amplitude = speckled(0, size).amplitude
    means, _ = block_means(amplitude, modulation_block_px((size, size)), None)
    timed = _timed(lambda: dark_blocks(means), repeats)
    return _share("tells what is too dark", "every frame, while the device unwraps", means.nbytes, 0, timed, device)


def _of_background(size: int, repeats: int, device: Device | None) -> list[Share]:
    """What it does where cells leave no ground, or where a person says what is ground."""
    shape = (size, size)
    example = instrument_examples(Instrument.from_file(_INSTRUMENT), "dense", shape, 1, _SEED)[0]
    engine = ClassicalEngine(EngineOptions(background=POLYNOMIAL, sideband=Sideband.UPPER))
    phase_rad = engine.retrieve(example.frame).phase_rad
    learned, fit = LearnedBackground(BackgroundNetwork(), shape), BackgroundFit(shape)
    means, _ = block_means(phase_rad, learned.block_px, None)
    coarse, _ = block_means(phase_rad, fit.block_px, None)
    ground = np.zeros(coarse.shape, np.bool_)
    ground[: len(ground) // 4] = True
    look = _timed(lambda: learned.fit(means), repeats)
    follow = _timed_following(TrackedBackground(learned), means, repeats)
    up = _COEFFICIENT_BYTES * (learned.order + 1) ** 2
    return [
        _share("follows the learned background", "a stream's frames without ground", means.nbytes, up, follow, device),
        _share("looks with the network", "beside the line, a quarter of the time at most", 0, 0, look, device),
        _share(
            "hears what a person says of the ground",
            "where one has",
            coarse.nbytes,
            up,
            _timed(lambda: fit.fit(coarse, None, ground), repeats),
            device,
        ),
    ]


def _timed_following(tracked: TrackedBackground, means: NDArray[np.float32], repeats: int) -> list[float]:
    """How long the frames behind the first take; the first look beside the line is waited for."""
    tracked.fit(means)
    tracked.fit(means)
    return _timed(lambda: tracked.fit(means), 3 * repeats)


def _cuts(number: int, size: int, repeats: int, device: Device | None) -> Share:
    field = speckled(number, size)
    residues = find_residues(field.phase_rad, RowBands(size))
    cuts, others = (place_cuts(order, field.phase_rad, field.amplitude) for order in (residues, residues[::-1].copy()))
    links, new = np.stack((cuts.right, cuts.down)) != 0, np.stack((others.right, others.down)) != 0
    in_another_order = (
        f"{len(residues)} residues; in reverse order {(new & ~links).sum() / links.sum():.0%} other links"
    )
    timed = _timed(lambda: place_cuts(residues, field.phase_rad, field.amplitude), max(3, repeats // 5))
    down = 2 * (size + 1) ** 2 + _RESIDUE_BYTES * len(residues)
    return _share("searches for cuts", in_another_order, down, _LINK_BYTES * int(links.sum()), timed, device)


def _share(what: str, when: str, down: int, up: int, timed_ms: list[float], device: Device | None) -> Share:
    down_ms = down / _PCIE_BYTES_PER_S * 1e3 if device is None or down == 0 else min(_downloads_ms(device, down))
    return Share(what, when, down, up, down_ms, min(timed_ms), float(np.median(timed_ms)))


def _downloads_ms(device: Device, nbytes: int) -> list[float]:
    stream, there = device.stream(), device.allocate(nbytes)
    here = device.page_locked((nbytes,), np.dtype(np.uint8))

    def come_down() -> None:
        stream.download(there, here)
        stream.synchronize()

    try:
        return _timed(come_down, 20)
    finally:
        there.free()


def _timed(call: Callable[[], object], repeats: int) -> list[float]:
    """In ms, after a first call."""
    call()
    took_ms = []
    for _ in range(repeats):
        began = perf_counter()
        call()
        took_ms.append((perf_counter() - began) * 1e3)
    return took_ms


if __name__ == "__main__":
    typer.run(main)
