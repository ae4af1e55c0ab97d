"""A real server, a page that shows its stream, and what a test asks of the two."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, ConsoleMessage, Download, Page, Request, expect

from tests.service.served import PATIENCE_S, Service, free_port

__all__ = ["Service", "free_port"]  # what browsers look at

expect.set_options(timeout=PATIENCE_S * 1e3)
_WINDOW = {"width": 1280, "height": 800}


@dataclass
class Opened:
    """A page that shows a frame, with everything that its console said and every address that it asked."""

    page: Page
    complaints: list[str]
    asked: list[str]


def open_page(browser: Browser, service: Service) -> Opened:
    page = browser.new_context(viewport=_WINDOW, accept_downloads=True).new_page()
    page.set_default_timeout(PATIENCE_S * 1e3)
    opened = Opened(page, [], [])

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            opened.complaints.append(message.text)

    def note_request(request: Request) -> None:
        opened.asked.append(request.url)

    page.on("console", note)
    page.on("pageerror", lambda error: opened.complaints.append(str(error)))
    page.on("request", note_request)
    page.on("websocket", lambda socket: opened.asked.append(socket.url))
    page.goto(service.url)
    expect(page.locator("#frame-number")).not_to_have_text("–")
    return opened


_AS_BASE64 = """
    const base64 = (array) => {
        const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let text = "";
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
        return btoa(text);
    };
"""


def shown_on(page: Page) -> dict[str, Any]:
    """What is on screen: sequence, values (H, W) float32, grey values, limits, line, profile."""
    shown: dict[str, Any] = page.evaluate(
        f"""async () => {{
            {_AS_BASE64}
            const {{ shown }} = await import("/web/main.js");
            const {{ frame, values, limits, line, profile }} = shown();
            const {{ phase, beside }} = frame;
            return {{ sequence: phase.header.sequence, rawSequence: beside.header.sequence,
                      shape: phase.header.shape, greyType: beside.header.dtype,
                      values: base64(values), grey: base64(beside.values),
                      low: limits.low, high: limits.high, line, profile }};
        }}"""
    )
    shown["values"] = np.frombuffer(b64decode(shown["values"]), np.float32).reshape(shown["shape"])
    shown["grey"] = np.frombuffer(b64decode(shown["grey"]), shown["greyType"]).reshape(shown["shape"])
    return shown


def picture_of(page: Page) -> NDArray[np.uint8]:
    """The coloured pixels of the phase picture, (H, W, 4) uint8."""
    height, width, pixels = page.evaluate(
        f"""() => {{
            {_AS_BASE64}
            const canvas = document.querySelector("#phase-canvas");
            const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.height, canvas.width, base64(data)];
        }}"""
    )
    return np.frombuffer(b64decode(pixels), np.uint8).reshape(height, width, 4)


def freeze_on_frame_of(page: Page, service: Service, *layers: str) -> dict[str, NDArray[np.generic]]:
    """Freeze the page; the layers of the frame that it shows, as REST gave them.

    A page on a busy machine shows a frame late, so REST is asked before the page is frozen and after.
    """
    for _ in range(10):
        given = service.some(*layers)
        page.keyboard.press("Space")
        expect(page.locator("#frozen")).to_be_visible()
        for layer, frames in given.items():
            frames.update([service.latest(layer)])
        sequence = shown_on(page)["sequence"]
        if all(sequence in frames for frames in given.values()):
            return {layer: frames[sequence] for layer, frames in given.items()}
        page.keyboard.press("Space")
        expect(page.locator("#frozen")).to_be_hidden()
    pytest.fail("the page showed no frame that REST gave shortly before or after")


def next_frame(page: Page) -> None:
    """Wait until the page shows another frame."""
    number = page.inner_text("#frame-number")
    expect(page.locator("#frame-number")).not_to_have_text(number)


def hover(page: Page, y: int, x: int) -> None:
    """Move the mouse over camera pixel (y, x)."""
    page.mouse.move(*on_screen(page, y, x))


def on_screen(page: Page, y: int, x: int) -> tuple[float, float]:
    box = page.locator("#phase-canvas").bounding_box()
    width = page.evaluate("document.querySelector('#phase-canvas').width")
    assert box is not None
    scale = box["width"] / width
    return box["x"] + (x + 0.5) * scale, box["y"] + (y + 0.5) * scale


def drag(page: Page, start: tuple[int, int], end: tuple[int, int]) -> None:
    hover(page, *start)
    page.mouse.down()
    page.mouse.move(*on_screen(page, *end), steps=5)
    page.mouse.up()
    expect(page.locator("#profile-note")).not_to_be_empty()


def number_in(text: str) -> float:
    return float(text.split(maxsplit=1)[0].replace("−", "-"))


def saved(page: Page, button: str) -> Path:
    with page.expect_download() as coming:
        page.click(button)
    download: Download = coming.value
    return Path(download.path()).rename(Path(download.path()).with_name(download.suggested_filename))
