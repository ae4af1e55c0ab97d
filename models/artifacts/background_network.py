"""The aberration network as a file: what it says of itself, and running it on one map, without torch."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from qpi_live.models.artifacts.card import Card
from qpi_live.models.artifacts.checksum import intact
from qpi_live.models.errors import EngineUnavailable, InferenceError

SHIPPED = Path(__file__).parent.parent / "weights" / "background.onnx"
"""The network that ships. It serves every instrument."""

INPUTS, OUTPUTS = ("means_rad", "valid"), ("log_weight", "sample_rad")
Map = NDArray[np.float32]


class BackgroundCard(Card):
    """The card of an exported aberration network.

    Attributes:
        origin: what its training began from.
        cultures: how many rendered cultures it saw.
        samples: maps it saw.
        trained_s: how long it trained, in s.
        median_db, tenth_db: of the background's error on maps it never saw, on the 0–12 rad scale: the median map, and
            the tenth from below.
        commit: of the code that exported it.
    """

    FORMAT: ClassVar[str] = "qpi background 2"
    EARLIER: ClassVar[tuple[str, ...]] = ("qpi background 1",)
    WHAT: ClassVar[str] = "a learned background exported by `qpi export`"
    REMEDY: ClassVar[str] = "export its checkpoint again"

    origin: str
    cultures: int
    samples: int
    trained_s: float
    median_db: float
    tenth_db: float
    commit: str


class BackgroundNetwork:
    """An exported aberration network, on one thread of the CPU. Threads may share it.

    Attributes:
        card: see `BackgroundCard`.
        path: its file.

    Args:
        path: the ONNX file; by default the network that ships.

    Raises:
        EngineUnavailable: no such file, one that was altered since it was exported, or not such a network.
    """

    def __init__(self, path: Path = SHIPPED) -> None:
        if not path.is_file():
            raise EngineUnavailable(
                f"expected a learned background at {path}, got no such file; `qpi export` writes one, "
                "and --background polynomial needs none"
            )
        content = intact(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # two milliseconds of work: a second thread costs more than it does
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise EngineUnavailable(f"expected a learned background at {path}, got: {error}") from error
        self.card = BackgroundCard.in_metadata(self._session.get_modelmeta().custom_metadata_map)
        self.path = path

    def judge(self, means_rad: Map, valid: Map) -> tuple[Map, Map]:
        """Tell background from sample.

        Args:
            means_rad: (128, 128) float32 block means in rad, roughly flattened, 0 where not valid.
            valid: (128, 128) float32, 1 where they mean something, 0 elsewhere.

        Returns:
            (128, 128) float32 natural logarithm of each block's weight, and (128, 128) float32 the sample's phase in
            rad.

        Raises:
            InferenceError: `network failed`.
        """
        given = dict(zip(INPUTS, (means_rad[None, None], valid[None, None]), strict=True))
        try:
            log_weight, sample_rad = self._session.run(list(OUTPUTS), given)
        except Exception as error:  # see above
            raise InferenceError("network failed", f"the learned background failed on this frame: {error}") from error
        return log_weight[0, 0], sample_rad[0, 0]
