"""The live page in a real Chromium, on a real server with the real line behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
import tifffile
from playwright.sync_api import Browser, Page, Route, expect
from scipy.ndimage import map_coordinates

from tests.service.web.live_page import (
    Opened,
    Service,
    drag,
    free_port,
    freeze_on_frame_of,
    hover,
    next_frame,
    number_in,
    on_screen,
    open_page,
    picture_of,
    saved,
    shown_on,
)

pytestmark = pytest.mark.browser

_LAYOUT = Path(__file__).with_name("layout.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    # Few frames a second leave the tests time to catch the page and REST on the same one.
    options = ("--camera", "simulated", "--size", "256", "--fps", "3", "--wavelength-nm", "532", "--pixel-um", "3.45")
    running = Service(free_port(), (*options, "--magnification", "40"), tmp_path_factory.mktemp("state"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def opened(browser: Browser, service: Service) -> Iterator[Opened]:
    opened = open_page(browser, service)
    yield opened
    opened.page.context.close()


@pytest.fixture
def page(opened: Opened) -> Page:
    return opened.page


def test_page_live_stream_draws_a_changing_picture(page: Page) -> None:
    first = picture_of(page)
    assert len(np.unique(first.reshape(-1, 4), axis=0)) > 50  # a picture, not a plain area
    next_frame(page)
    assert not np.array_equal(first, picture_of(page))
    expect(page.locator("#state")).to_have_attribute("data-name", "live")
    expect(page.locator("#notice")).to_be_hidden()


def test_page_live_says_nothing_on_the_console_and_asks_no_other_host(opened: Opened, service: Service) -> None:
    page = opened.page
    page.click("text=Wrapped")
    page.click("#unit >> text=nm")
    page.select_option("#colors", "heat")
    expect(page.locator("#account dt").first).to_be_visible()
    assert opened.complaints == []
    assert {urlsplit(url).netloc for url in opened.asked} == {f"127.0.0.1:{service.port}"}


def test_page_frozen_shows_the_very_numbers_that_rest_gives(page: Page, service: Service) -> None:
    rest = freeze_on_frame_of(page, service, "phase", "interferogram")
    shown = shown_on(page)
    assert shown["rawSequence"] == shown["sequence"]
    assert np.array_equal(shown["values"], rest["phase"])
    assert np.array_equal(shown["grey"], rest["interferogram"])


def test_page_cursor_on_a_frozen_frame_reads_the_pixel_under_it(page: Page, service: Service) -> None:
    rest = freeze_on_frame_of(page, service, "phase", "interferogram")
    for y, x in ((0, 0), (17, 201), (128, 77), (255, 255)):
        hover(page, y, x)
        expect(page.locator("#cursor-px")).to_have_text(f"{y}, {x}")
        phase = float(rest["phase"][y, x])
        assert number_in(page.inner_text("#cursor-phase")) == pytest.approx(phase, abs=5.1e-4)
        assert number_in(page.inner_text("#cursor-opd")) == pytest.approx(phase * 532 / (2 * np.pi), abs=0.051)
        assert page.inner_text("#cursor-grey") == str(rest["interferogram"][y, x])
    position = [float(part) for part in page.inner_text("#cursor-um").removesuffix(" µm").split(", ")]
    assert position == pytest.approx([255 * 3.45 / 40] * 2, abs=0.0051)


def test_page_arrow_keys_move_the_cursor_by_one_pixel(page: Page) -> None:
    page.locator("#phase-stage").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.locator("#cursor-px")).to_have_text("129, 130")


def test_page_wrapped_layer_equals_the_service_s(page: Page, service: Service) -> None:
    rest = freeze_on_frame_of(page, service, "phase", "wrapped")
    page.click("text=Wrapped")
    expect(page.locator("#colors")).to_have_value("cyclic")
    expect(page.locator("#limit-high")).to_have_value("3.14")
    # One float32 step of 12 rad apart at the most: both take off the same multiple of 2π.
    np.testing.assert_allclose(shown_on(page)["values"], rest["wrapped"], rtol=0, atol=2e-6)


def test_page_color_bar_labels_its_range_in_rad_and_nm(page: Page) -> None:
    page.keyboard.press("Space")
    assert page.inner_text("#bar-title") == "Phase (rad)"
    shown = shown_on(page)
    labels = [number_in(text) for text in page.locator("#bar-ticks li").all_inner_texts()]
    assert len(labels) >= 3
    assert all(shown["low"] - 1e-6 <= label <= shown["high"] + 1e-6 for label in labels)
    assert np.allclose(np.diff(labels), labels[1] - labels[0])
    tops = [page.locator("#bar-ticks li").nth(i).evaluate("item => item.offsetTop") for i in range(len(labels))]
    assert tops == sorted(tops, reverse=True)  # more phase is further up
    page.click("#unit >> text=nm")
    expect(page.locator("#bar-title")).to_have_text("OPD (nm)")
    high_nm = number_in(page.input_value("#limit-high"))
    assert high_nm == pytest.approx(shown["high"] * 532 / (2 * np.pi), abs=0.51)


def test_page_contrast_limits_set_by_hand_change_the_pixels(page: Page) -> None:
    page.keyboard.press("Space")
    automatic = picture_of(page)
    page.fill("#limit-low", "1.0")
    page.press("#limit-low", "Enter")
    page.fill("#limit-high", "1,5")  # a comma is what half of Europe types
    page.press("#limit-high", "Enter")
    expect(page.locator("#auto")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#limit-high")).to_have_value("1.50")
    shown, narrow = shown_on(page), picture_of(page)
    assert (shown["low"], shown["high"]) == (1.0, 1.5)
    below, above = shown["values"] < 1.0, shown["values"] > 1.5
    assert below.any()
    assert above.any()
    assert len(np.unique(narrow[below], axis=0)) == 1
    assert len(np.unique(narrow[above], axis=0)) == 1
    assert not np.array_equal(narrow, automatic)
    page.fill("#limit-low", "9")  # above the upper one: refused, and put right
    page.press("#limit-low", "Enter")
    expect(page.locator("#limit-low")).to_have_value("1.00")
    page.click("#auto")
    expect(page.locator("#auto")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#limit-low")).not_to_have_value("1.00")


def test_page_color_bar_dragged_moves_the_upper_limit_alone(page: Page) -> None:
    page.keyboard.press("Space")
    before = shown_on(page)
    box = page.locator("#bar").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 10, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 10, box["y"] + 20 + box["height"] / 4, steps=3)
    page.mouse.up()
    after = shown_on(page)
    assert after["low"] == before["low"]
    expected = before["high"] - (before["high"] - before["low"]) / 4
    assert after["high"] == pytest.approx(expected, abs=0.01 * (before["high"] - before["low"]))


def test_page_frozen_keeps_its_picture_while_the_stream_goes_on(page: Page) -> None:
    page.keyboard.press("Space")
    expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#frozen")).to_contain_text(page.inner_text("#frame-number"))
    number, picture = page.inner_text("#frame-number"), picture_of(page)
    for _ in range(2):  # the account of frames, once a second, counts on
        account = page.inner_text("#account")
        expect(page.locator("#account")).not_to_have_text(account, use_inner_text=True)
    assert page.inner_text("#frame-number") == number
    assert np.array_equal(picture_of(page), picture)
    page.keyboard.press("Space")
    expect(page.locator("#frozen")).to_be_hidden()
    next_frame(page)


def test_page_profile_along_a_line_plots_the_phase_there(page: Page, service: Service) -> None:
    rest = freeze_on_frame_of(page, service, "phase")["phase"].astype(np.float64)
    drag(page, (40, 30), (160, 220))
    shown = shown_on(page)
    assert shown["line"] == {"y0": 40, "x0": 30, "y1": 160, "x1": 220}
    distances_um, phases = shown["profile"]
    at = np.linspace(0, 1, len(phases))
    expected = map_coordinates(rest, (40 + 120 * at, 30 + 190 * at), order=1)
    np.testing.assert_allclose(phases, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(distances_um, at * np.hypot(120, 190) * 3.45 / 40, rtol=1e-9)
    expect(page.locator("#profile-plot canvas")).to_be_visible()
    table = np.genfromtxt(saved(page, "#profile-csv"), delimiter=",", skip_header=1)
    np.testing.assert_allclose(table, np.transpose(shown["profile"]), rtol=1e-12)
    page.keyboard.press("Escape")
    expect(page.locator("#profile-hint")).to_be_visible()
    assert shown_on(page)["profile"] is None


def test_page_saved_files_hold_the_frame_on_screen(page: Page, service: Service) -> None:
    rest = freeze_on_frame_of(page, service, "phase")["phase"]
    array = np.load(saved(page, "[data-save=npy]"), allow_pickle=False)
    assert array.dtype == np.float32
    assert np.array_equal(array, rest)
    with tifffile.TiffFile(saved(page, "[data-save=tiff]")) as tiff:
        assert np.array_equal(tiff.asarray(), rest)
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] == "um"
        pixels, um = tiff.pages[0].tags["XResolution"].value
        assert um / pixels == pytest.approx(3.45 / 40, rel=1e-5)
    picture = saved(page, "[data-save=png]")
    assert picture.suffix == ".png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_page_saves_a_tiff_that_says_of_the_frame_what_rest_s_does(page: Page, service: Service) -> None:
    page.click("#unit >> text=nm")
    freeze_on_frame_of(page, service, "phase")
    with tifffile.TiffFile(saved(page, "[data-save=tiff]")) as tiff:
        by_page = tiff.imagej_metadata or {}
    expect(page.locator("#answer")).to_contain_text("Saved in rad, as every file of phase is; 1 rad is 84.67 nm")
    with (
        urlopen(f"{service.url}/api/v1/frames/latest?format=tiff") as answer,
        tifffile.TiffFile(BytesIO(answer.read())) as tiff,
    ):
        by_rest = tiff.imagej_metadata or {}
    for said in (by_page, by_rest):
        assert (said["unit"], said["quantity"]) == ("um", "phase in rad")
    of_page, of_rest = (json.loads(said["Info"]) for said in (by_page, by_rest))
    assert of_page.keys() == of_rest.keys()
    assert of_page["sequence"] == shown_on(page)["sequence"]
    of_a_frame = ("sequence", "captured_ns", "device_timestamp_ns", "stages_ms", "residues", "carrier_strength")
    same = [name for name in of_page if name not in of_a_frame and not isinstance(of_page[name], float)]
    assert {name: of_page[name] for name in same} == {name: of_rest[name] for name in same}


def test_page_wheel_zooms_at_the_cursor_and_double_click_shows_all(page: Page) -> None:
    whole = page.locator("#phase-canvas").bounding_box()
    hover(page, 100, 60)
    page.mouse.wheel(0, -800)
    expect(page.locator("#fit")).to_be_visible()
    hover(page, 101, 61)  # where that pixel is by now
    expect(page.locator("#cursor-px")).to_have_text("101, 61")
    page.mouse.dblclick(*on_screen(page, 101, 61))
    expect(page.locator("#fit")).to_be_hidden()
    assert page.locator("#phase-canvas").bounding_box() == whole


def test_page_sign_chosen_turns_the_phase_over(page: Page) -> None:
    signs = []
    for sideband in ("upper", "lower"):
        page.click(f"#sideband input[value={sideband}] + span")
        expect(page.locator("#answer")).to_have_text(f"Sign: {sideband}.")
        next_frame(page)
        next_frame(page)  # the first may have been under way already
        values = shown_on(page)["values"]
        signs.append(np.sign(values.max() + values.min()))
    assert signs[0] == -signs[1] != 0
    page.click("#sideband input[value=auto] + span")
    expect(page.locator("#answer")).to_have_text("Sign: auto.")


def test_page_calibration_taken_and_cleared_is_shown(page: Page) -> None:
    page.click("#calibrate")
    expect(page.locator("#answer")).to_have_class(re.compile("bad"))  # there are cells in it
    expect(page.locator("#engine")).to_contain_text("Calibrationnone")
    page.click("#calibrate-anyway")
    expect(page.locator("#engine")).to_contain_text(re.compile("Calibrationof"))
    expect(page.locator("#calibrate-anyway")).to_be_hidden()
    page.click("#uncalibrate")
    expect(page.locator("#engine")).to_contain_text("Calibrationnone")


def test_page_refind_carrier_answers_and_the_stream_goes_on(page: Page) -> None:
    page.click("#refind")
    expect(page.locator("#answer")).to_contain_text("carrier")
    next_frame(page)
    next_frame(page)


def _change_stats(page: Page, changes: dict[str, Any]) -> None:
    """Let the page see the service's own /stats with `changes` in it, as a bad day would write them."""

    def answer(route: Route) -> None:
        answered = route.fetch()
        route.fulfill(response=answered, json={**answered.json(), **changes})

    page.route("**/api/v1/stats", answer)


def test_page_frames_dropped_and_failed_are_counted_by_reason(page: Page) -> None:
    account = {"captured": 1300, "delivered": 1249, "in_flight": 1}
    losses = {"dropped": {"queue full": 42, "camera: lost": 5}, "failed": {"no carrier": 3}}
    _change_stats(page, {"account": {**account, **losses}})
    for reason, frames in (("Skipped to stay live", 42), ("Dropped: camera: lost", 5), ("Failed: no carrier", 3)):
        expect(page.locator("#account div", has_text=reason).locator("dd")).to_have_text(str(frames))


def _baseline(engine: str) -> dict[str, Any]:
    agreement = {"rms_rad": 0.0312, "psnr_db": 51.64, "engine_error_rad": 0.1, "baseline_error_rad": None}
    return {"engine": engine, "fraction": 0.1, "frames": 12, "latency_ms": 8.04, **agreement}


def test_page_baseline_on_shows_the_agreement(page: Page) -> None:
    _change_stats(page, {"baseline": _baseline("other")})
    for name, value in (("Differs from other", "0.031 rad"), ("Agreement", "51.6 dB"), ("other takes", "8.0 ms")):
        expect(page.locator("#engine div", has_text=name).locator("dd")).to_have_text(value)
    expect(page.locator("#engine div", has_text="Error of goldstein").locator("dd")).to_have_text("0.100 rad")


def test_page_baseline_that_is_the_engine_is_left_out(page: Page) -> None:
    _change_stats(page, {"baseline": _baseline("goldstein")})
    expect(page.locator("#engine div", has_text="Calibration")).to_be_visible()
    expect(page.locator("#engine div", has_text="Differs from")).to_have_count(0)


def test_page_camera_lost_says_what_the_service_says(page: Page) -> None:
    sentence = "The camera was unplugged. Trying again in 2.0 s."
    _change_stats(page, {"state": {"name": "reconnecting", "sentence": sentence}})
    expect(page.locator("#notice")).to_have_text(sentence)
    expect(page.locator("#state")).to_have_attribute("data-name", "reconnecting")


def test_page_half_detail_still_reads_camera_pixels(page: Page, service: Service) -> None:
    page.select_option("#detail", "2")
    page.wait_for_selector("#phase-canvas[width='128']", state="attached")
    rest = freeze_on_frame_of(page, service, "phase")["phase"]
    box = page.locator("#phase-canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100.5 / 256 * box["width"], box["y"] + 60.5 / 256 * box["height"])
    expect(page.locator("#cursor-px")).to_have_text("60, 100")
    mean = float(rest[60:62, 100:102].mean())
    assert number_in(page.inner_text("#cursor-phase")) == pytest.approx(mean, abs=5.1e-4)
    position = [float(part) for part in page.inner_text("#cursor-um").removesuffix(" µm").split(", ")]
    assert position == pytest.approx([60 * 3.45 / 40, 100 * 3.45 / 40], abs=0.0051)


@pytest.mark.parametrize(
    ("width", "height"),
    [(390, 844), (820, 1180), (1024, 768), (1100, 800), (1280, 800), (1600, 1000), (1920, 1080), (2560, 1440)],
)
def test_page_at_any_width_shows_everything_without_overlap(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    overlaps = page.evaluate(_LAYOUT)
    assert overlaps == []


def test_page_keys_change_layer_and_contrast_and_the_help_says_which(page: Page) -> None:
    page.keyboard.press("2")
    expect(page.locator("#layer input[value=wrapped]")).to_be_checked()
    page.keyboard.press("c")
    expect(page.locator("#clipped")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("+")
    expect(page.locator("#fit")).to_be_visible()
    page.keyboard.press("0")
    expect(page.locator("#fit")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
