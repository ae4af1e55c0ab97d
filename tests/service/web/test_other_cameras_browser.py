"""Switching cameras on the page, and comparing a simulated frame's layers there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.service.web.live_page import Service, free_port, freeze_on_frame_of, next_frame, open_page, shown_on

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--size", "256", "--fps", "3", "--engine", "nasprnet", "--baseline-fraction", "1")
    running = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    opened = open_page(browser, service)
    yield opened.page
    assert opened.complaints == []
    opened.page.context.close()


def _switch(page: Page, name: str) -> None:
    page.click(f"#sources >> text={name}")
    expect(page.locator("#answer")).to_have_text("The camera was switched.")


def test_page_switches_to_the_simulated_microscope_and_back(page: Page) -> None:
    expect(page.locator("#camera-name")).to_have_attribute("title", "replay:glioblastoma")
    expect(page.locator('#layer input[value="true"]')).to_be_hidden()
    _switch(page, "Simulated")
    expect(page.locator("#camera-name")).to_have_attribute("title", "simulated:glioblastoma")
    expect(page.locator('#layer label:has(input[value="true"])')).to_be_visible()
    expect(page.locator("#engine")).to_contain_text("Error of nasprnet")
    _switch(page, "Recording")
    expect(page.locator("#camera-name")).to_have_attribute("title", "replay:glioblastoma")
    expect(page.locator('#layer label:has(input[value="true"])')).to_be_hidden()
    expect(page.locator("#state")).to_have_attribute("data-name", "live")


@pytest.mark.parametrize("layer", ["true", "baseline"])
def test_page_layer_of_a_simulated_frame_shows_the_very_numbers_that_rest_gives(
    page: Page, service: Service, layer: str
) -> None:
    _switch(page, "Simulated")
    choice = page.locator(f'#layer label:has(input[value="{layer}"])')
    expect(choice).to_be_visible()
    choice.click()
    next_frame(page)
    rest = freeze_on_frame_of(page, service, layer)
    assert np.array_equal(shown_on(page)["values"], rest[layer])
    page.keyboard.press("Space")
    _switch(page, "Recording")


def test_page_that_shows_the_truth_goes_back_to_the_phase_where_there_is_none(page: Page) -> None:
    _switch(page, "Simulated")
    choice = page.locator('#layer label:has(input[value="true"])')
    expect(choice).to_be_visible()
    choice.click()
    _switch(page, "Recording")
    expect(page.locator('#layer input[value="phase"]')).to_be_checked()
    next_frame(page)
