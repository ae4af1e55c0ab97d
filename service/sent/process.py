"""The process in which frames that are sent are decoded and inverted; the service kills it where one takes too much.

It answers requests on one connection, each a verb and its arguments, with `(True, answer)` or `(False, error)`.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from qpi_live.camera.child import end_with_parent
from qpi_live.camera.frame import Frame
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.models.errors import EngineError
from qpi_live.service.sent.engines import SentEngines
from qpi_live.service.sent.task import (
    AskedEngine,
    EnginesCompared,
    SentError,
    SentImage,
    SentRefused,
    SentTooLarge,
    Task,
)
from qpi_live.service.sent.worker import connection_of
from qpi_live.service.view import View
from qpi_live.service.viewing.frame_file import FrameFile, frame_file
from qpi_live.service.viewing.image_formats import Format

if sys.platform != "win32":
    import resource

_SMALLEST = (64, 64)
_ROOM_BESIDE_ENGINES = 1 << 30  # address space for the image's own decoding and for what libraries map


class _SentProcess:
    def __init__(self, budget_bytes: int) -> None:
        self._engines = SentEngines(budget_bytes)
        self._requests = {
            "ready": _compile,
            "decode": self._decode,
            "retrieve": self._retrieve,
            "compare": self._compare,
        }

    def answer(self, verb: str, arguments: tuple[object, ...]) -> tuple[bool, object]:
        """What became of a request; nothing that a stranger sends may end the process with a traceback."""
        try:
            return True, self._requests[verb](*arguments)  # type: ignore[operator]
        except SentError as error:
            return False, error
        except (ValueError, EngineError) as error:
            return False, SentRefused(str(error))
        except MemoryError:
            self._engines.close()
            return False, SentTooLarge("expected a frame that fits into sent_memory_mb, got one that does not; crop it")
        except Exception as error:
            # Runtimes have memory errors of their own, and broken frames trip libraries in every imaginable way.
            self._engines.close()
            return False, SentRefused(f"expected a frame that can be inverted, and it failed: {error!r}"[:400])

    def _decode(self, image: SentImage) -> Frame:
        return image.decode()

    def _retrieve(self, asked: AskedEngine, task: Task, view: View, image_format: Format) -> FrameFile:
        return frame_file(self._engines.retrieve(asked, task.decoded()), view, image_format)

    def _compare(self, a: AskedEngine, b: AskedEngine, task: Task) -> EnginesCompared:
        return self._engines.compare(a, b, task.decoded())


def _compile() -> None:
    """Compile what every frame needs: where nothing keeps it on the disk that may take longer than a frame may."""
    engine = open_engine("goldstein", EngineOptions(threads=1))
    engine.warm_up(_SMALLEST, 8)
    engine.close()


def _limit_memory(budget_bytes: int) -> None:
    """Have the system refuse what goes beyond the budget, where it can; the service watches besides."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as statm:
            mapped = int(statm.read().split()[0]) * resource.getpagesize()
        most = mapped + budget_bytes + _ROOM_BESIDE_ENGINES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _serve(connection: Connection, budget_bytes: int) -> None:
    process = _SentProcess(budget_bytes)
    while True:
        try:
            verb, arguments = connection.recv()
        except (EOFError, OSError):
            return
        except MemoryError:
            return
        connection.send(process.answer(verb, arguments))


def main() -> None:
    """Serve on the connection whose handle is the first argument, within the budget that the environment names."""
    end_with_parent()
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is answered, not logged
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    budget_bytes = int(os.environ["QPI_SENT_BUDGET_BYTES"])
    _limit_memory(budget_bytes)
    with suppress(OSError):
        _serve(connection_of(int(sys.argv[1])), budget_bytes)
    os._exit(0)


if __name__ == "__main__":
    main()
