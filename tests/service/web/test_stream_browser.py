"""How the page uses the stream: once, at its own pace, and under the right name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocket, expect

from tests.service.web.live_page import Service, free_port, next_frame, open_page, saved

pytestmark = pytest.mark.browser

# Stands in for what the browser says of the tab: hidden, until the test shows it.
_HIDDEN = """
    let isHidden = true;
    Object.defineProperty(document, "hidden", { get: () => isHidden });
    window.showTab = (isShown) => {
        isHidden = !isShown;
        document.dispatchEvent(new Event("visibilitychange"));
    };
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", "simulated", "--size", "128", "--fps", "5", "--engine", "goldstein")
    running = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_context(accept_downloads=True).new_page()
    yield page
    page.context.close()


def test_page_opened_in_a_background_tab_streams_once_and_only_when_it_is_seen(page: Page, service: Service) -> None:
    sockets: list[WebSocket] = []

    def note(socket: WebSocket) -> None:
        sockets.append(socket)

    page.on("websocket", note)
    page.add_init_script(_HIDDEN)
    page.goto(service.url)
    expect(page.locator("#colors option").first).to_be_attached()
    assert sockets == []
    for _ in range(2):  # some browsers tell it twice
        page.evaluate("window.showTab(true)")
    expect(page.locator("#frame-number")).not_to_have_text("–")
    next_frame(page)
    assert len(sockets) == 1
    page.evaluate("window.showTab(false)")
    page.evaluate("window.showTab(true)")
    next_frame(page)
    assert len([socket for socket in sockets if not socket.is_closed()]) == 1


def test_page_asks_for_each_frame_when_it_has_the_last(page: Page, service: Service) -> None:
    sent: list[str] = []
    received: list[bytes] = []

    def watch(socket: WebSocket) -> None:
        assert "credit=true" in socket.url
        socket.on("framesent", lambda data: sent.append(str(data)))
        socket.on("framereceived", lambda data: received.append(data) if isinstance(data, bytes) else None)

    page.on("websocket", watch)
    page.goto(service.url)
    expect(page.locator("#frame-number")).not_to_have_text("–")
    for _ in range(3):
        next_frame(page)
    asked = sum("ready" in json.loads(text) for text in sent)
    assert asked >= 3
    assert abs(len(received) - 2 * asked) <= 2  # phase and interferogram for each, one frame on its way


def test_page_saves_a_frame_under_the_layer_that_it_is(browser: Browser, service: Service) -> None:
    page = open_page(browser, service).page
    header = "(await import('/web/main.js')).shown().frame.phase.header.layer"
    page.keyboard.press("Space")
    expect(page.locator("#frozen")).to_be_visible()
    # A layer was chosen, and the frame on screen is the one before still.
    page.evaluate("document.querySelector('#layer input[value=true]').disabled = false")
    page.evaluate("document.querySelector('#layer input[value=true]').click()")
    assert page.evaluate(f"async () => {header}") == "phase"
    file: Path = saved(page, "[data-save=npy]")
    assert file.name.startswith("phase-")
    page.context.close()


def test_page_behind_a_proxy_that_passes_no_websocket_on_says_what_to_do(page: Page, service: Service) -> None:
    page.route_web_socket("**/api/v1/stream*", lambda socket: socket.close())
    page.goto(service.url)
    expect(page.locator("#notice")).to_contain_text("Connecting to the microscope")
    expect(page.locator("#notice")).to_contain_text("it has to pass WebSocket on")
    expect(page.locator("#notice")).to_contain_text("Trying again in")


def test_page_whose_programs_do_not_load_says_so(page: Page, service: Service) -> None:
    page.route("**/web/*.js", lambda route: route.fulfill(status=403))
    page.goto(service.url)
    expect(page.locator("#unloaded")).to_contain_text("have not loaded")
    expect(page.locator("#unloaded")).to_be_visible()
