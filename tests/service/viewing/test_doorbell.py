"""Events of a loop that other threads set."""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import TypeVar
from unittest.mock import patch

from qpi_live.service.viewing.doorbell import Doorbell

Result = TypeVar("Result")


def _run(main: Coroutine[None, None, Result]) -> Result:
    """What `main` gives, in a thread of its own: this one may hold a browser's loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


def test_doorbell_rung_for_many_while_the_loop_is_busy_wakes_it_once() -> None:
    async def main() -> tuple[int, bool]:
        loop, bell, events = asyncio.get_running_loop(), Doorbell(), [asyncio.Event() for _ in range(64)]
        with patch.object(loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe) as wake:
            ringing = Thread(target=lambda: [bell.ring(loop, event) for event in events])
            ringing.start()
            ringing.join()  # the loop is busy with this
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in events)), 5)
            return wake.call_count, all(event.is_set() for event in events)

    assert _run(main()) == (1, True)


def test_doorbell_of_a_loop_that_is_closed_says_nothing_and_of_the_next_works() -> None:
    bell = Doorbell()
    loop = asyncio.new_event_loop()
    loop.close()
    bell.ring(loop, asyncio.Event())

    async def main() -> None:
        event = asyncio.Event()
        bell.ring(asyncio.get_running_loop(), event)
        await asyncio.wait_for(event.wait(), 5)

    _run(main())
