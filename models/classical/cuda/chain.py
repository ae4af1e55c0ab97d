"""The classical chain on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qpi_live.camera.device import Array, Device, DeviceMemory, Event, Graph
from qpi_live.camera.frame import Frame
from qpi_live.models.classical.aberration import Aberration, Background
from qpi_live.models.classical.chain import FringesDoubted, Inverted, Trust, left_out
from qpi_live.models.classical.cuda.background import CudaBackground, CudaBlockMeans
from qpi_live.models.classical.cuda.goldstein import CudaUnwrapper
from qpi_live.models.classical.cuda.takeda import CudaRetriever
from qpi_live.models.classical.modulation import dark_blocks, mask_of_blocks, modulation_block_px
from qpi_live.models.classical.takeda import TakedaRetriever

_WIDEST_GREY = np.dtype(np.uint16)
_Piece = TypeVar("_Piece", CudaUnwrapper, CudaRetriever, CudaBackground, CudaBlockMeans, DeviceMemory)


class CudaChain:
    """`Chain` on a device. Stages, by the device's clock: `upload`, `retrieve`, `unwrap`, `background`, `download`.

    A frame goes through without the host, which only looks on: while the device unwraps, the host tells from means of
    the amplitude and the fringes' peak whether that was right. Retrieval, unwrapping and background are a graph each.
    Phase and amplitude come down once. A frame that lies on the device already is taken from there.

    A frame with residues, or of which a part is too dark for a phase, or missing, is unwrapped once more: the host
    finds the cuts, see `CudaUnwrapper.cut`. A background that a network finds, or about which a person has said
    something, is found by the host from block means, see `CudaBackground.remove`. So is one whose polynomial turns out
    not to lie in the ground, see `CudaBackground.settle`.

    Args:
        device: where.
        retriever: what the first step shall do.
        background: what the last one shall.

    Raises:
        DeviceError: the device has no room for frames of this size, or cannot run the kernels.
    """

    def __init__(self, device: Device, retriever: TakedaRetriever, background: Background) -> None:
        self._device = device
        self._was_cut = False  # the last frame: the next is likely to be, too, and its first phase is not waited for
        self._shape, self._plan = retriever.shape, retriever
        self._stream = device.stream()
        self._held: list[CudaUnwrapper | CudaRetriever | CudaBackground | CudaBlockMeans | DeviceMemory] = []
        try:
            self._unwrapper = self._hold(CudaUnwrapper(device, self._shape))
            self._retriever = self._hold(CudaRetriever(device, retriever, self._stream))
            self._background = self._hold(CudaBackground(device, background, self._stream))
            self._modulation = self._hold(CudaBlockMeans(device, self._shape, modulation_block_px(self._shape)))
            self._staging = device.page_locked(self._shape, _WIDEST_GREY)
            self._grey = self._hold(device.allocate(self._staging.nbytes))
            self._retrieval = self._record(self._enqueue_retrieval)
            self._unwrapping = self._record(lambda: self._unwrapper.enqueue(self._stream))
            self._levelling = self._record(self._enqueue_levelling) if self._background.can_be_fitted_here else None
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
        self._modulation.fetch(stream)
        self._retriever.enqueue_peak(stream)
        retrieved = stream.record()
        self._unwrapping.launch(stream)
        unwrapper.enqueue_counts(stream)
        unwrapped = stream.record()
        is_fitted_here = frame.ground is None and not self._was_cut and self._background.is_fitted_here
        levelling = self._levelling if is_fitted_here else None
        if levelling is not None:
            levelling.launch(stream)
            self._background.enqueue_found(stream)
        levelled = stream.record()
        amplitude = self._fetch(unwrapper.amplitude, np.dtype(np.float32))
        phase_rad = None if levelling is None else self._fetch(unwrapper.phase, np.dtype(np.float32))
        done = stream.record()
        try:
            retrieved.synchronize()
            mask = self._judge(frame, trusts)
        finally:
            stream.synchronize()  # nobody else may have the arrays while something still comes down to them
        residues, disputed_mask = unwrapper.counts.residues, None
        self._was_cut = residues > 0 or mask is not None
        if self._was_cut:
            residues, disputed_mask = self._unwrap_again(mask)
            unwrapped, phase_rad = stream.record(), None
        if phase_rad is not None:
            aberration, is_another = self._background.settle(stream, unwrapper.phase)
            phase_rad = None if is_another else phase_rad
        else:
            aberration = self._level(mask, frame.ground)
        if phase_rad is None:
            levelled = stream.record()
            phase_rad = self._fetch(unwrapper.phase, np.dtype(np.float32))
            done = stream.record()
            done.synchronize()
        stages_ms = {
            "upload": uploaded.ms_since(began),
            "retrieve": retrieved.ms_since(started),
            "unwrap": unwrapped.ms_since(retrieved),
            "background": levelled.ms_since(unwrapped),
            "download": done.ms_since(levelled),
        }
        bright = unwrapper.counts.bright_links
        return Inverted(
            phase_rad, amplitude, self._retriever.peak, residues, disputed_mask, bright, mask, aberration, stages_ms
        )

    def _judge(self, frame: Frame, trusts: Trust | None) -> NDArray[np.bool_] | None:
        """What is to be left out of a frame whose retrieval is done.

        Raises:
            FringesDoubted: its peak is not trusted.
            InferenceError: nothing is left.
        """
        peak = self._retriever.peak
        if trusts is not None and not trusts(peak):
            raise FringesDoubted(peak)
        dark = dark_blocks(self._modulation.means_here)
        mask = left_out(None if dark is None else mask_of_blocks(dark, self._shape), frame, self._plan)
        return None if mask is None or not mask.any() else mask

    def _unwrap_again(self, mask: NDArray[np.bool_] | None) -> tuple[int, NDArray[np.bool_] | None]:
        """Unwrap with cuts, and outside of the mask: the residues there, and what is disputed, or None."""
        stream, unwrapper = self._stream, self._unwrapper
        residues = unwrapper.cut(stream, mask)
        stream.synchronize()
        if unwrapper.counts.regions < 2:
            return residues, None
        unwrapper.join_regions(stream, mask)
        stream.synchronize()
        if not unwrapper.counts.has_disputed:
            return residues, None
        disputed = self._fetch(unwrapper.disputed, np.dtype(np.bool_))
        stream.synchronize()
        return residues, disputed

    def _level(self, mask: NDArray[np.bool_] | None, ground: NDArray[np.bool_] | None) -> Aberration:
        """Take the background off what was unwrapped last."""
        stream, phase = self._stream, self._unwrapper.phase
        mask_there = None if mask is None else self._unwrapper.mask
        if ground is not None or not self._background.is_fitted_here:
            return self._background.remove(stream, phase, mask_there, ground)
        self._background.enqueue(stream, phase, mask_there)
        self._background.enqueue_found(stream)
        stream.synchronize()
        return self._background.settle(stream, phase, mask_there)[0]

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
        self._modulation.enqueue(self._stream, self._unwrapper.amplitude)

    def _enqueue_levelling(self) -> None:
        self._background.enqueue(self._stream, self._unwrapper.phase)

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
