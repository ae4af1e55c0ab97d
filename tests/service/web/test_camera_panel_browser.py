"""The page's camera panel in a real Chromium, on a real server with the real virtual camera behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.service.web.live_page import Opened, Service, free_port, next_frame, open_page

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def service(virtual_producer: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", f"gentl:{virtual_producer}", "--size", "256", "--fps", "10")
    running = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def opened(browser: Browser, service: Service) -> Iterator[Opened]:
    opened = open_page(browser, service)
    expect(opened.page.locator("#camera-panel")).to_be_visible()
    yield opened
    opened.page.context.close()


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened.page


def value_of(service: Service, name: str) -> object:
    return httpx.get(f"{service.url}/api/v1/camera/features/{name}").json()["value"]


def set_to(page: Page, feature: str, value: float) -> None:
    page.fill(f"#camera-{feature}", str(value))
    page.press(f"#camera-{feature}", "Enter")


@pytest.mark.parametrize(
    ("feature", "value"), [("ExposureTime", 1234.0), ("Gain", 2.5), ("AcquisitionFrameRate", 12.0)]
)
def test_panel_number_that_is_typed_reaches_the_camera(
    page: Page, service: Service, feature: str, value: float
) -> None:
    # The page also reads the feature, so it must be the answer to the setting of it.
    with page.expect_response(lambda one: one.request.method == "PUT" and one.url.endswith(feature)) as answer:
        set_to(page, feature, value)
    assert answer.value.json()["value"] == value
    assert value_of(service, feature) == value


def test_panel_value_that_is_refused_shows_the_range_and_the_value_in_force(page: Page, service: Service) -> None:
    before = value_of(service, "Gain")
    set_to(page, "Gain", 99)
    expect(page.locator("#camera-answer")).to_have_text("expected Gain between 0.0 and 24.0 dB, got 99")
    page.locator("#camera-Gain").blur()
    expect(page.locator("#camera-Gain")).to_have_value(re.compile(f"^{before:g}$"))
    assert value_of(service, "Gain") == before


def test_panel_stop_and_start_stop_and_start_the_camera(page: Page) -> None:
    page.click("#camera-run")
    expect(page.locator("#camera-run")).to_have_text("Start")
    expect(page.locator("#state")).to_have_text("The camera is stopped; start it to go on.")
    page.click("#camera-run")
    expect(page.locator("#camera-run")).to_have_text("Stop")
    next_frame(page)


def test_panel_trigger_takes_one_frame_at_a_time(page: Page) -> None:
    page.select_option("#camera-trigger", "Software")
    expect(page.locator("#state")).to_have_text("The camera waits for a trigger (Software).")
    page.click("#camera-fire")
    next_frame(page)
    page.select_option("#camera-trigger", "Free run")
    next_frame(page)
    expect(page.locator("#camera-fire")).to_be_disabled()


def test_panel_settings_that_were_saved_can_be_loaded(page: Page, service: Service) -> None:
    page.click("#camera-Gain")
    with page.expect_download() as download:
        page.click("#camera-save")
    path = Path(download.value.path())
    settings = json.loads(path.read_text())
    assert settings["Gain"] == value_of(service, "Gain")
    path.write_text(json.dumps(settings | {"Gain": 7.5}))
    with page.expect_response(re.compile("camera/settings")) as answer:
        page.set_input_files("#camera-file", path)
    assert answer.value.status == 200
    assert value_of(service, "Gain") == 7.5
    next_frame(page)


def test_panel_works_without_a_complaint(opened: Opened) -> None:
    next_frame(opened.page)
    assert opened.complaints == []


def test_panel_window_drawn_on_the_picture_is_read_out_and_the_full_chip_again(page: Page, service: Service) -> None:
    window = httpx.get(f"{service.url}/api/v1/camera/window").json()
    page.click("#window-draw")
    expect(page.locator("#window-draw")).to_have_attribute("aria-pressed", "true")
    box = page.locator("#phase-stage canvas").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + box["width"] / 2, y + box["height"] / 4, steps=4)
    expect(page.locator("#phase-stage .area")).to_be_visible()
    with page.expect_response(lambda one: one.request.method == "PUT" and one.url.endswith("/window")) as answer:
        page.mouse.up()
    drawn = answer.value.json()
    assert drawn["height"] == pytest.approx(window["height"] / 4, abs=4)
    assert drawn["width"] == pytest.approx(window["width"] / 2, abs=8)
    assert drawn["y"] == pytest.approx(window["y"] + window["height"] / 4, abs=4)
    assert drawn["x"] == pytest.approx(window["x"] + window["width"] / 4, abs=8)
    expect(page.locator("#window-text")).to_contain_text(f"{drawn['height']} × {drawn['width']} px, from row")
    next_frame(page)
    page.click("#window-full")
    expect(page.locator("#window-text")).to_contain_text("the full chip")
    page.select_option("#window-binning", "2")
    expect(page.locator("#window-text")).to_contain_text(f"{drawn['full_height'] // 2} × {drawn['full_width'] // 2} px")
    page.select_option("#window-format", "Mono12p")
    expect(page.locator("#window-format")).to_have_value("Mono12p")
    next_frame(page)
    assert value_of(service, "PixelFormat") == "Mono12p"
