"""The classical chain on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, Device, DeviceMemory, Event, Graph
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.aberration import Background
from qpi_live.models.classical.bands import RowBands
from qpi_live.models.classical.chain import FringesDoubted, Inverted, Trust, left_out
from qpi_live.models.classical.cuda.background import CudaBackground, CudaBlockMeans
from qpi_live.models.classical.cuda.goldstein import CudaUnwrapper
from qpi_live.models.classical.cuda.takeda import CudaRetriever
from qpi_live.models.classical.modulation import dark_blocks, mask_of_blocks, modulation_block_px
from qpi_live.models.classical.takeda import TakedaRetriever
from qpi_live.models.classical.unwrapping import goldstein

_WIDEST_GREY = np.dtype(np.uint16)
_Piece = TypeVar("_Piece", CudaUnwrapper, CudaRetriever, CudaBackground, CudaBlockMeans, DeviceMemory)


class CudaChain:
    """`Chain` on a device. Stages, by the device's clock: `upload`, `retrieve`, `unwrap`, `background`, `download`.

    Retrieval and unwrapping are one graph each. A frame that lies on the device already is taken from there. Phase
    and amplitude come down once; before them, the means over blocks of pixels do, to which the host fits the
    background. A frame of which a part is too dark for a phase, or missing, is unwrapped and levelled on the host.

    Args:
        device: where.
        retriever: what the first step shall do.
        background: what the last one shall.

    Raises:
        DeviceError: the device has no room for frames of this size, or cannot run the kernels.
    """

    def __init__(self, device: Device, retriever: TakedaRetriever, background: Background) -> None:
        self._device = device
        self._shape, self._plan = retriever.shape, retriever
        self._stream = device.stream()
        self._held: list[CudaUnwrapper | CudaRetriever | CudaBackground | CudaBlockMeans | DeviceMemory] = []
        try:
            self._unwrapper = self._hold(CudaUnwrapper(device, self._shape))
            self._retriever = self._hold(CudaRetriever(device, retriever, self._stream))
            self._on_host = background
            self._background = self._hold(CudaBackground(device, background))
            self._modulation = self._hold(CudaBlockMeans(device, self._shape, modulation_block_px(self._shape)))
            self._staging = device.page_locked(self._shape, _WIDEST_GREY)
            self._grey = self._hold(device.allocate(self._staging.nbytes))
            self._retrieval = self._record(self._enqueue_retrieval)
            self._unwrapping = self._record(lambda: self._unwrapper.enqueue(self._stream))
        except BaseException:
            self.free()
            raise

    @property
    def is_usable(self) -> bool:
        """Whether the device is still there."""
        return not self._device.is_lost

    def invert(self, frame: Frame, trusts: Trust | None = None) -> Inverted:
        """See `Chain.invert`."""
        stream, unwrapper = self._stream, self._unwrapper
        began, uploaded = self._take_in(frame)
        started = stream.record()
        self._retrieval.launch(stream)
        self._modulation.enqueue(stream, unwrapper.amplitude)
        retrieved = stream.record()
        self._unwrapping.launch(stream)
        unwrapper.enqueue_counts(stream)
        self._retriever.enqueue_peak(stream)
        unwrapped = stream.record()
        self._background.enqueue_means(stream, unwrapper.phase)
        stream.synchronize()
        peak = self._retriever.peak
        if trusts is not None and not trusts(peak):
            raise FringesDoubted(peak)
        dark = dark_blocks(self._modulation.here)
        weak = None if dark is None else mask_of_blocks(dark, self._shape)
        mask = left_out(weak, frame, self._plan)
        if mask is not None:
            taken_ms = {"upload": uploaded.ms_since(began), "retrieve": retrieved.ms_since(started)}
            return self._finish_on_host(mask, frame.ground, taken_ms)
        residues, has_islands = unwrapper.counts.residues, False
        if residues:
            unwrapper.cut(stream)
            stream.synchronize()
            has_islands = unwrapper.counts.regions > 1
            if has_islands:
                unwrapper.join_regions(stream)
            unwrapped = stream.record()
            self._background.enqueue_means(stream, unwrapper.phase)
            stream.synchronize()
        aberration = self._background.enqueue_removal(stream, unwrapper.phase, frame.ground)
        levelled = stream.record()
        phase_rad = self._fetch(unwrapper.phase, np.dtype(np.float32))
        amplitude = self._fetch(unwrapper.amplitude, np.dtype(np.float32))
        disputed_mask = self._fetch(unwrapper.disputed, np.dtype(np.bool_)) if has_islands else None
        done = stream.record()
        done.synchronize()
        stages_ms = {
            "upload": uploaded.ms_since(began),
            "retrieve": retrieved.ms_since(started),
            "unwrap": unwrapped.ms_since(retrieved),
            "background": levelled.ms_since(unwrapped),
            "download": done.ms_since(levelled),
        }
        bright_cut_links = unwrapper.bright_cut_links if residues else 0
        return Inverted(
            phase_rad, amplitude, peak, residues, disputed_mask, bright_cut_links, None, aberration, stages_ms
        )

    def _finish_on_host(
        self, mask: NDArray[np.bool_], ground: NDArray[np.bool_] | None, stages_ms: dict[str, float]
    ) -> Inverted:
        """Unwrap and level what lies outside of `mask` as `HostChain` does."""
        clock = perf_counter()
        wrapped = self._fetch(self._unwrapper.wrapped, np.dtype(np.float32))
        amplitude = self._fetch(self._unwrapper.amplitude, np.dtype(np.float32))
        self._stream.synchronize()
        unwrapped = goldstein.unwrap(wrapped, amplitude, mask, RowBands(self._shape[0]))
        done = perf_counter()
        aberration = self._on_host.remove(unwrapped.phase_rad, mask, ground)
        stages_ms |= {"unwrap": (done - clock) * 1e3, "background": (perf_counter() - done) * 1e3}
        return Inverted(
            unwrapped.phase_rad,
            amplitude,
            self._retriever.peak,
            len(unwrapped.residues),
            unwrapped.disputed_mask,
            unwrapped.bright_cut_links,
            mask,
            aberration,
            stages_ms,
        )

    def free(self) -> None:
        """Give the device's memory back, unless it is gone with the device. Doing it twice is harmless."""
        while self._held:
            held = self._held.pop()
            if self.is_usable:
                held.free()

    def _take_in(self, frame: Frame) -> tuple[Event, Event]:
        """Let the retriever have the frame's pixels; the events around their upload, here or by the frame's queue."""
        stream, there, dtype = self._stream, frame.on_device, frame.pixels.dtype
        if there is not None and there.device is self._device:
            stream.wait_for(there.ready)
            self._retriever.enqueue_grey(stream, there.memory, dtype)
            return there.began, there.ready
        began = stream.record()
        staged = self._staging.reshape(-1).view(dtype)[: frame.pixels.size]
        np.copyto(staged, frame.pixels.reshape(-1))
        stream.upload(staged, self._grey)
        uploaded = stream.record()
        self._retriever.enqueue_grey(stream, self._grey, dtype)
        return began, uploaded

    def _enqueue_retrieval(self) -> None:
        self._retriever.enqueue(self._stream, self._unwrapper.wrapped, self._unwrapper.amplitude)

    def _fetch(self, memory: DeviceMemory, dtype: np.dtype[Any]) -> Array:
        """An array of the frame's shape that nobody else has; there once the stream's work so far is done."""
        array = self._device.page_locked(self._shape, dtype)
        self._stream.download(memory, array)
        return array

    def _record(self, work: Callable[[], None]) -> Graph:
        """`work` as a graph, after a first run: a driver loads kernels when they first run, which no recording may."""
        work()
        self._stream.synchronize()
        return self._stream.capture(work)

    def _hold(self, piece: _Piece) -> _Piece:
        self._held.append(piece)
        return piece
