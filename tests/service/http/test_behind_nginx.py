"""The block of docs/behind-a-proxy.md, in a real nginx."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from qpi_live.service.client import PhaseClient
from qpi_live.service.station import Station

from tests.fakes import FakeCamera, TunableFakeEngine, fringes
from tests.service.stations import Serving, until

DOCUMENT = Path(__file__).parents[3] / "docs" / "behind-a-proxy.md"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {beside}
    server {{ listen 127.0.0.1:{port}; {location} }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)")


@pytest.fixture
def through(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """nginx before a service, with the documented block; the page's address there."""
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str, host: str = "$http_host") -> str:
        location, beside = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        location = location.replace("http://127.0.0.1:8000/", f"{url}/").replace("$http_host", host)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(AROUND.format(folder=tmp_path, beside=beside, port=port, location=location))
        assert NGINX is not None
        running.append(subprocess.Popen([NGINX, "-c", configuration, "-p", tmp_path], stderr=subprocess.DEVNULL))
        until(lambda: is_open(port))
        return f"http://127.0.0.1:{port}/microscope"

    yield start
    for nginx in running:
        nginx.terminate()
        nginx.wait(10)


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_page_rest_and_stream_pass_under_a_prefix(
    through: Callable[..., str], serve: Serving, make_station: Callable[..., Station]
) -> None:
    camera = FakeCamera()
    page = through(serve(make_station(camera, TunableFakeEngine(), allowed_hosts="microscope.lab")))
    text = httpx.get(f"{page}/").raise_for_status().text
    camera.send()  # the page offers tables of cells, which there are of a frame
    for file in re.findall(r'(?:src|href)="([^"#:]+\.\w+)"', text):
        assert httpx.get(f"{page}/{file}", timeout=60).raise_for_status().content, file
    named = httpx.get(f"{page}/api/v1/stats", headers={"host": "microscope.lab"})
    assert named.status_code == 200
    own = page.removesuffix("/microscope")
    answer = httpx.put(f"{page}/api/v1/engine/sideband", json={"sideband": "upper"}, headers={"origin": own})
    assert answer.status_code == 200, answer.text
    with PhaseClient(page) as client, closing(client.frames()) as frames:
        camera.send()
        assert next(frames).values.shape == camera.identity.shape
        assert client.phase(fringes((1200, 1400), 0), engine="goldstein").values.shape == (1200, 1400)


def test_token_in_the_link_works_under_a_prefix(
    through: Callable[..., str], serve: Serving, make_station: Callable[..., Station]
) -> None:
    page = through(serve(make_station(FakeCamera(), TunableFakeEngine(), token="a-token-of-this-test")))
    with httpx.Client() as browser:
        assert browser.get(f"{page}/").status_code == 401
        opened = browser.get(f"{page}/?token=a-token-of-this-test", follow_redirects=True)
        assert (opened.status_code, str(opened.url)) == (200, f"{page}/")
        assert browser.get(f"{page}/api/v1/stats").status_code == 200


def test_proxy_that_leaves_the_port_out_of_host_still_gets_the_pages_files(
    through: Callable[..., str], serve: Serving, make_station: Callable[..., Station]
) -> None:
    service = serve(make_station(FakeCamera(), TunableFakeEngine()))
    page = through(service, host="$host")
    origin = {"origin": page.removesuffix("/microscope")}
    assert httpx.get(f"{page}/web/main.js", headers=origin).status_code == 200
    refused = httpx.put(f"{page}/api/v1/engine/sideband", json={"sideband": "upper"}, headers=origin)
    assert (refused.status_code, "see allowed_origins" in refused.json()["detail"]) == (403, True)
