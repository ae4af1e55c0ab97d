"""A network's session whose frames and phases lie on its device: laid out once for a size, then written and read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from qpi_live.camera.frame import Pixels


class BoundSession:
    """Runs frames through a session with memory that is bound once for each frame size, where `run` would take new.

    Args:
        session: with one input, (H, W) grey values, and one output, (H, W) float32.
        device: where its provider works, as ONNX Runtime names it: `cuda` or `cpu`.
        another: opens another session of the network, for frames of another size; None: one does for all sizes, as it
            keeps no graph.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        device: str,
        another: Callable[[], onnxruntime.InferenceSession] | None = None,
    ) -> None:
        self._session = session
        self._another = another
        self._device = device
        self._taken = session.get_inputs()[0].name
        self._given = session.get_outputs()[0].name
        self._laid_out: tuple[tuple[int, ...], np.dtype[np.generic]] | None = None

    def run(self, pixels: Pixels) -> NDArray[np.float32]:
        """The output for `pixels`, in an array of its own; ONNX Runtime's own exceptions pass through."""
        if self._laid_out != (pixels.shape, pixels.dtype):
            self._lay_out(pixels)
        self._grey.update_inplace(np.ascontiguousarray(pixels))
        self._session.run_with_iobinding(self._binding)
        phase_rad: NDArray[np.float32] = np.array(self._phase.numpy(), np.float32)
        return phase_rad

    def _lay_out(self, pixels: Pixels) -> None:
        if self._laid_out is not None and self._another is not None:
            self._session = self._another()
        values = onnxruntime.OrtValue
        self._grey = values.ortvalue_from_numpy(np.ascontiguousarray(pixels), self._device, 0)
        self._phase = values.ortvalue_from_shape_and_type(pixels.shape, np.float32, self._device, 0)
        self._binding = self._session.io_binding()
        self._binding.bind_ortvalue_input(self._taken, self._grey)
        self._binding.bind_ortvalue_output(self._given, self._phase)
        self._laid_out = (pixels.shape, pixels.dtype)
