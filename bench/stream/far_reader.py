"""Reads the stream as a program of its own and prints the age of each frame, in ms, as it comes.

python -m qpi_live.bench.stream.far_reader URL
"""

from __future__ import annotations

import sys
from time import time_ns

from qpi_live.service.client import PhaseClient, ServiceError

_ANSWER_S = 600.0


def main(url: str) -> None:
    """Read until the end of the service, or of this process."""
    with PhaseClient(url, timeout_s=_ANSWER_S) as client:
        for frame in client.frames(wait_s=_ANSWER_S):
            print(round((time_ns() - frame.header.captured_ns) / 1e6, 1), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ServiceError as error:
        sys.exit(str(error))
