"""The record button, the gallery and the player in a real Chromium, on a real server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, expect

from tests.camera.files.recorded.recordings import images_of
from tests.fakes import fringes
from tests.service.web.live_page import Service, free_port, open_page

pytestmark = pytest.mark.browser

SHAPE = (128, 160)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    source = tmp_path / "source.npy"
    np.save(source, np.stack([fringes(SHAPE, number) for number in range(16)]))
    options = ("--camera", f"replay:{source}", "--fps", "20", "--engine", "goldstein", "--recordings-free-mb", "0")
    running = Service(free_port(), (*options, "--recordings", str(tmp_path / "kept")), tmp_path)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    opened = open_page(browser, service)
    yield opened.page
    opened.page.context.close()


def test_page_records_shows_plays_deletes_and_brings_back(page: Page, tmp_path: Path) -> None:
    page.fill("#record-name", "by hand")
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Stop recording")
    expect(page.locator("#record-status")).to_have_text(re.compile(r"by hand: \d+ frames.* 0 lost"))
    page.wait_for_timeout(1500)  # some frames
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Record")  # it is over: the gallery lists it while it grows, too
    item = page.locator("#recordings-list li")
    expect(item).to_have_count(1)
    expect(item.locator("b")).to_have_text("by hand")
    with tifffile.TiffFile(tmp_path / "kept" / "by hand" / "interferogram.ome.tif") as tiff:
        frames = tiff.series[0].shape[0]
    assert frames > 10
    expect(item.locator("img")).not_to_have_js_property("naturalWidth", 0)

    item.get_by_text("Play").click()
    expect(page.locator("#player")).to_be_visible()
    expect(page.locator("#player-place")).to_have_text(re.compile(f"^0 of {frames}"))
    expect(page.locator("#frame-number")).to_have_text("0")
    page.click("#player-on")
    expect(page.locator("#frame-number")).to_have_text("1")
    page.click("#player-back")
    page.locator("#player-time").fill("7")
    expect(page.locator("#frame-number")).to_have_text("7")
    page.check("#player-loop")
    page.select_option("#player-speed", "4")
    page.click("#player-run")
    expect(page.locator("#frame-number")).not_to_have_text("7")
    page.click("#player-run")
    expect(page.locator("#player-run")).to_have_text("Play")
    page.click("#player-live")
    expect(page.locator("#player")).to_be_hidden()
    expect(page.locator("#state")).to_have_attribute("data-name", "live")

    item.get_by_text("Delete").click()
    expect(item).to_have_count(0)
    page.click("#record-undo")
    expect(item).to_have_count(1)


def test_page_records_to_the_format_that_is_chosen(page: Page, tmp_path: Path) -> None:
    page.locator("#recordings summary").first.click()
    page.fill("#record-name", "as zarr")
    page.fill("#record-frames", "3")
    page.select_option("#record-format", "ome-zarr")
    page.click("#record")
    expect(page.locator("#record-status")).to_have_text(re.compile(r"as zarr: 3 frames.* 0 lost"))
    expect(page.locator("#recordings-list li b")).to_have_text("as zarr")
    assert len(images_of(tmp_path / "kept" / "as zarr")) == 3


def test_page_says_why_a_recording_is_refused(page: Page) -> None:
    page.fill("#record-name", "../elsewhere")
    page.click("#record")
    expect(page.locator("#record-answer")).to_have_text(re.compile("expected a name"))
