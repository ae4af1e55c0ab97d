"""Measuring on the page: a user enters optics, draws regions, refocuses, finds cells, records, takes the table home."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import httpx
import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.service.stations import until
from tests.service.web.live_page import Opened, Service, free_port, on_screen, open_page, saved, shown_on
from tests.soak import at_length

pytestmark = pytest.mark.browser
_SCREENSHOTS = Path(__file__).parents[3] / "test-output"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", "simulated:round", "--size", "384", "--fps", "4", "--recordings-free-mb", "0")
    running = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def opened(browser: Browser, service: Service) -> Iterator[Opened]:
    httpx.put(f"{service.url}/api/v1/regions", json={"regions": []}).raise_for_status()
    until(lambda: httpx.get(f"{service.url}/api/v1/cells", timeout=120).is_success)  # the kernels are compiled
    opened = open_page(browser, service)
    yield opened
    opened.page.context.close()


def _drag(page: Page, start: tuple[int, int], *path: tuple[int, int]) -> None:
    page.mouse.move(*on_screen(page, *start))
    page.mouse.down()
    for point in path:
        page.mouse.move(*on_screen(page, *point), steps=6)
    page.mouse.up()


def _draw(page: Page, shape: str, start: tuple[int, int], *path: tuple[int, int]) -> None:
    button = page.locator(f"[data-region={shape}]")
    button.scroll_into_view_if_needed()
    button.click()
    _drag(page, start, *path)
    expect(button).to_have_attribute("aria-pressed", "false")


def _record(page: Page, name: str, seconds: int) -> None:
    page.locator("#recordings summary").first.click()
    page.fill("#record-name", name)
    page.fill("#record-seconds", str(seconds))
    page.click("#record")
    expect(page.locator("#record-status")).to_contain_text(f"{name}: ")


def test_page_user_measures_cells_and_regions_refocuses_records_and_takes_the_table_home(
    opened: Opened, service: Service
) -> None:
    page, began = opened.page, monotonic()
    page.locator("#optics summary").click()
    page.fill("#optics-form [name=wavelength_nm]", "633")
    page.click("#optics-form button")
    expect(page.locator("#camera")).to_contain_text("633")

    _record(page, "culture", at_length(2, 60))

    _draw(page, "ellipse", (60, 60), (160, 180))
    _draw(page, "line", (200, 30), (250, 300))
    _draw(page, "polygon", (200, 200), (200, 300), (300, 300), (300, 200))
    expect(page.locator("#regions-list dt")).to_have_text(["ellipse 1", "line 1", "polygon 1"])
    page.select_option("#regions-figure", "dry_mass_pg")
    expect(page.locator("#regions-list dd").first).to_have_text(re.compile(r"^−?\d"))
    expect(page.locator("#phase-stage .region")).to_have_count(3)
    drawn = httpx.get(f"{service.url}/api/v1/regions").json()["regions"]
    assert drawn[0]["points"][0] == pytest.approx([60.5, 60.5], abs=1.5)
    assert drawn[0]["points"][1] == pytest.approx([160.5, 180.5], abs=1.5)

    page.locator("#cells-find").check()
    expect(page.locator("#cells-table tbody tr").first).to_be_visible()
    expect(page.locator("#cells-count")).to_have_text(re.compile(r"\d+ cells, [\d.]+ % covered"))
    assert page.locator("#phase-stage polygon.cell").count() == page.locator("#cells-table tbody tr").count()
    page.click("#cells-table th button[data-column=dry_mass_pg]")
    masses = [float(text.replace("−", "-")) for text in page.evaluate(_MASSES)]
    assert masses == sorted(masses)
    page.locator("#cells-table tbody tr").last.click()
    expect(page.locator("#phase-stage polygon.cell.selected")).to_have_count(1)
    expect(page.locator("#cell-growth-text")).to_contain_text("Cell ")

    page.locator("#focus-auto").scroll_into_view_if_needed()
    page.click("#focus-auto")
    expect(page.locator("#focus-answer")).to_have_text(re.compile("Sharpest|end of what"))
    page.fill("#focus-um", "5")
    page.press("#focus-um", "Enter")
    expect(page.locator("#focus-slider")).to_have_value("5")

    table = pd.read_csv(saved(page, 'a[href*="cells/table.csv"]'))
    assert {"id", "dry_mass_pg", "alpha_um3_per_pg", "area_um2"} <= set(table.columns)
    assert len(table) > 0
    assert zipfile.is_zipfile(saved(page, 'a[href*="cells/labels.zarr.zip"]'))
    assert monotonic() - began < 60
    expect(page.locator("#record")).to_have_text("Record")  # its time is over
    expect(page.locator("#record-status")).to_have_text(re.compile(r"culture: \d+ frames.* 0 lost"))
    expect(page.locator("#recordings-list li b")).to_have_text("culture")
    _SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=_SCREENSHOTS / "measure.png")
    page.click("#layer >> text=DIC")
    expect(page.locator("#bar-title")).to_have_text("DIC")
    page.click("#layer >> text=Gradient")
    expect(page.locator("#bar-title")).to_have_text("Gradient (rad/px)")
    assert [text for text in opened.complaints if "409" not in text] == []  # a simulated camera has no features


def test_page_regions_are_removed_and_kept_over_a_reload(opened: Opened, service: Service) -> None:
    page = opened.page
    _draw(page, "rectangle", (30, 30), (90, 120))
    expect(page.locator("#regions-list dt")).to_have_text(["rectangle 1"])
    page.reload()
    expect(page.locator("#regions-list dt")).to_have_text(["rectangle 1"])
    page.locator("#regions-list button").click()
    expect(page.locator("#regions-shown")).to_be_hidden()
    assert httpx.get(f"{service.url}/api/v1/regions").json()["regions"] == []


def test_page_drag_without_a_tool_still_draws_a_profile(opened: Opened) -> None:
    page = opened.page
    _drag(page, (100, 40), (120, 200))
    expect(page.locator("#profile-note")).not_to_be_empty()
    expect(page.locator("#regions-shown")).to_be_hidden()


def test_page_plots_any_figure_of_the_cells_and_a_click_selects_the_cell(opened: Opened) -> None:
    page = opened.page
    page.locator("#cells-find").check()
    expect(page.locator("#cells-table tbody tr").first).to_be_visible()
    for axis, figure in (("y", "area_px"), ("x", "eccentricity")):
        page.select_option(f"#cells-plot-{axis}", figure)
    plot = page.locator("#cells-plot .u-over")
    plot.scroll_into_view_if_needed()
    page.wait_for_function(_CLICK)
    expect(page.locator("#cells-table tbody tr[aria-selected=true]")).to_have_count(1)
    expect(page.locator("#phase-stage polygon.cell.selected")).to_have_count(1)
    for width, height in ((1280, 800), (1920, 1080), (420, 900)):
        page.set_viewport_size({"width": width, "height": height})
        plot.scroll_into_view_if_needed()
        page.screenshot(path=_SCREENSHOTS / f"scatter-{width}.png")
    page.select_option("#cells-plot-y", "count")
    expect(page.locator("#cells-plot .uplot")).to_have_count(1)
    page.set_viewport_size({"width": 1280, "height": 800})
    plot.scroll_into_view_if_needed()
    page.screenshot(path=_SCREENSHOTS / "histogram.png")
    page.locator("#cells-find").uncheck()
    assert [text for text in opened.complaints if "409" not in text] == []


# At once: between two questions from outside the table may have been sorted anew.
_MASSES = "() => [...document.querySelectorAll('#cells-table tbody td:nth-child(2)')].map((cell) => cell.innerText)"

# Click, at once, on the first pixel of the plot that is painted in the points' colour; whether there was one.
_CLICK = """
() => {
    const canvas = document.querySelector("#cells-plot canvas");
    const room = canvas.getBoundingClientRect();
    const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < width * height; at += 1) {
        const [red, green, blue] = data.slice(4 * at, 4 * at + 3);
        if (red > 130 || green < 170 || blue < 150) continue;
        const clientX = room.x + ((at % width) * room.width) / width;
        const clientY = room.y + (Math.floor(at / width) * room.height) / height;
        const over = document.querySelector("#cells-plot .u-over");
        over.dispatchEvent(new MouseEvent("click", { clientX, clientY, bubbles: true }));
        return true;
    }
    return false;
}
"""


def _until_shown(page: Page, layer: str) -> None:
    """Wait until a frame of the layer is on the screen."""
    page.wait_for_function(
        "async (layer) => (await import('/web/main.js')).shown().frame.phase.header.layer === layer", arg=layer
    )


def test_page_layer_just_chosen_is_shown_within_its_own_limits(opened: Opened) -> None:
    """Its first frame decides, not the last one of the layer before, whose values are of another size."""
    page = opened.page
    for layer, name in (
        ("amplitude", "Amplitude"),
        ("darkfield", "Dark field"),
        ("dic", "DIC"),
        ("wrapped", "Wrapped"),
    ):
        page.click(f"#layer >> text={name}")
        _until_shown(page, "phase" if layer == "wrapped" else layer)
        shown = shown_on(page)
        inside = (shown["values"] >= shown["low"]) & (shown["values"] <= shown["high"])
        assert inside.mean() > 0.9, (layer, shown["low"], shown["high"])
        assert np.ptp(shown["values"]) > 0.1 * (shown["high"] - shown["low"]), layer  # nor lost in them


def test_page_mask_without_a_masked_pixel_says_so(opened: Opened) -> None:
    page = opened.page
    page.click("#layer >> text=Mask")
    _until_shown(page, "mask")
    expect(page.locator("#layer-note")).to_have_text("No pixel of this frame is masked.")
    page.click("#layer >> text=/^Phase/")
    expect(page.locator("#layer-note")).to_be_hidden()


def test_page_frozen_keeps_its_cells_and_a_recording_shows_none_of_the_live_ones(opened: Opened) -> None:
    page = opened.page
    page.locator("#cells-find").check()
    outlines, rows = page.locator("#phase-stage polygon.cell"), page.locator("#cells-table tbody")
    expect(outlines.first).to_be_visible()
    page.click("#freeze")
    page.wait_for_timeout(700)  # what was asked for before has come
    kept = rows.inner_text()
    page.wait_for_timeout(1500)  # three more questions, were they asked
    assert rows.inner_text() == kept
    page.click("#freeze")
    expect(rows).not_to_have_text(kept)
    page.click("#record")
    expect(page.locator("#record-status")).to_contain_text(re.compile(r"[1-9]\d* frames"))
    page.click("#record")
    page.locator("#recordings-list").get_by_text("Play").first.click()
    expect(page.locator("#player")).to_be_visible()
    expect(outlines).to_have_count(0)
    page.click("#player-live")
    expect(outlines.first).to_be_visible()
    page.locator("#cells-find").uncheck()


def test_page_growth_rate_that_is_not_known_yet_is_a_dash(opened: Opened) -> None:
    page = opened.page

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for number, cell in enumerate(body.get("cells", [])):
            cell |= {"growth_per_h": 3.0, "growth_error_per_h": 0.5 if number == 0 else 5.0}
        route.fulfill(response=response, json=body)

    page.route("**/api/v1/cells?outlines=true", answer)
    page.locator("#cells-find").check()
    growth = page.locator("#cells-table tbody td:last-child")
    expect(growth.nth(1)).to_be_visible()
    shown = growth.all_inner_texts()  # by id, in which order the answer does not have them
    assert shown.count("3.00") == 1
    assert set(shown) == {"3.00", "–"}
    page.locator("#cells-find").uncheck()
    page.unroute_all(behavior="wait")  # for the last answer


def test_page_averages_takes_a_reference_and_shows_what_changed(opened: Opened, service: Service) -> None:
    page = opened.page
    field = page.locator("#average-frames")
    field.scroll_into_view_if_needed()
    field.fill("8")
    field.press("Enter")
    page.click("#layer >> text=Mean")
    expect(page.locator("#average-count")).to_have_text(re.compile(r"[2-8] in the picture"))
    expect(page.locator("#bar-title")).to_have_text("Phase (rad)")
    page.click("#layer >> text=Fluctuation")
    expect(page.locator("#bar-title")).to_have_text("Spread (rad)")
    _until_shown(page, "fluctuation")
    page.screenshot(path=_SCREENSHOTS / "fluctuation.png")
    page.click("#average-reference")
    expect(page.locator("#average-answer")).to_contain_text("Reference: frame")
    page.click("#layer >> text=Change")
    expect(page.locator("#bar-title")).to_have_text("Change (rad)")
    _until_shown(page, "change")
    page.locator("#average-title").scroll_into_view_if_needed()
    page.screenshot(path=_SCREENSHOTS / "change.png")
    page.click("#average-drop")
    expect(page.locator("#bar-title")).to_have_text("Phase (rad)")  # the layer is gone, and gives way
    field.fill("0")
    field.press("Enter")
    expect(page.locator("#average-answer")).to_have_class(re.compile("answer"))
    expect(page.locator("#average-answer")).not_to_be_empty()
    assert httpx.get(f"{service.url}/api/v1/averaging").json()["frames"] == 8
    field.fill("1")
    field.press("Enter")
    expect(page.locator("#average-answer")).to_be_empty()
    assert [text for text in opened.complaints if "409" not in text and "422" not in text] == []
