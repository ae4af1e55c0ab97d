"""The live page in a real Chromium, on services of its own: one that goes away, one with the bundled hologram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.service.web.live_page import (
    Service,
    drag,
    free_port,
    next_frame,
    open_page,
    picture_of,
    shown_on,
)

pytestmark = pytest.mark.browser

_SCREENSHOTS = Path(__file__).parents[3] / "test-output"


def test_page_connection_lost_says_so_and_comes_back(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options = ("--camera", "simulated", "--size", "256", "--fps", "3")
    own = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    own.start()
    page = open_page(browser, own).page
    try:
        own.stop()
        expect(page.locator("#notice")).to_contain_text("Connection to the microscope lost")
        expect(page.locator("#state")).to_have_attribute("data-name", "lost")
        picture = picture_of(page)
        assert len(np.unique(picture.reshape(-1, 4), axis=0)) > 50  # the last picture stays, marked as old
        own.start()
        expect(page.locator("#state")).to_have_attribute("data-name", "live")
        expect(page.locator("#notice")).to_be_hidden()
        next_frame(page)
    finally:
        page.context.close()
        own.stop()


def test_page_on_the_bundled_hologram_makes_a_picture_for_people(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = Service(free_port(), ("--fps", "5"), tmp_path_factory.mktemp("state"))
    own.start()
    try:
        opened = open_page(browser, own)
        page = opened.page
        page.set_viewport_size({"width": 1600, "height": 1000})
        drag(page, (700, 150), (350, 800))
        expect(page.locator("#account dt").first).to_be_visible()
        _SCREENSHOTS.mkdir(exist_ok=True)
        page.screenshot(path=_SCREENSHOTS / "page.png")
        assert picture_of(page).shape == (1024, 1024, 4)
        assert np.isfinite(shown_on(page)["values"]).all()
        assert opened.complaints == []
        page.context.close()
    finally:
        own.stop()
