"""Monitoring asks for what the service says: every metric of the dashboard stands in `/metrics`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.served import Service, free_port

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"
PAGE = Path(__file__).parents[2] / "docs" / "programs.md"
TOKEN = "let-me-in-please"
PATIENCE_S = 60.0
# What has no value before the first loss, and before the first client came.
SELDOM = re.compile(r"_(dropped|failed|ended)_total|qpi_stream_frames")


def expressions() -> list[str]:
    """What the dashboard asks Prometheus."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "256", "--fps", "20", "--token", TOKEN)
    service = Service(free_port(), options, tmp_path_factory.mktemp("state"), token=TOKEN)
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def metrics(service: Service) -> str:
    return httpx.get(f"{service.url}/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).text


def test_every_metric_of_the_dashboard_is_one_of_the_service(metrics: str) -> None:
    # A counter with reasons has no sample before the first loss, but it is announced.
    announced = {family.name: family for family in text_string_to_metric_families(metrics)}
    known = {sample.name for family in announced.values() for sample in family.samples}
    known |= {f"{name}_total" for name, family in announced.items() if family.type == "counter"}
    asked = {name for each in expressions() for name in re.findall(r"\b(?:qpi|process)_\w+", each)}
    assert len(asked) > 15
    assert asked <= known, asked - known


def test_every_label_of_the_dashboard_is_one_of_the_metric_s(metrics: str) -> None:
    stages = {
        sample.labels["stage"]
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if "stage" in sample.labels
    }
    asked = {stage for each in expressions() for stage in re.findall(r'stage="(\w+)"', each)}
    assert asked
    assert asked <= stages


def test_prometheus_itself_finds_no_fault_in_its_file(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool: apt-get install prometheus")
    (tmp_path / "prometheus.yml").write_bytes((MONITORING / "prometheus.yaml").read_bytes())
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", "prometheus.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("named", ["docker", "page"])
def test_prometheus_itself_answers_what_the_dashboard_asks_of_a_service_with_a_token(
    service: Service, named: str, tmp_path: Path
) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("needs Prometheus: apt-get install prometheus")
    file = tmp_path / "prometheus.yml"
    file.write_text({"docker": of_docker, "page": of_the_page}[named](service, tmp_path), encoding="utf-8")
    port = free_port()
    places = (f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}")
    with subprocess.Popen(
        [prometheus, *places, f"--web.listen-address=127.0.0.1:{port}"], stderr=subprocess.DEVNULL
    ) as server:
        try:
            url = f"http://127.0.0.1:{port}/api/v1"
            until_found(url, "rate(qpi_frames_delivered_total[1m]) > 0")
            found = {each: answer(url, each) for each in expressions()}
            (target,) = httpx.get(f"{url}/targets").json()["data"]["activeTargets"]
        finally:
            server.terminate()
    assert (target["health"], target["lastError"]) == ("up", "")
    assert [each for each, values in found.items() if not values and not SELDOM.search(each)] == []


def of_docker(service: Service, folder: Path) -> str:
    """The shipped file for a service at another address."""
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    text = (MONITORING / "prometheus.yaml").read_text(encoding="utf-8")
    text = text.replace("/etc/prometheus/token", str(folder / "token")).replace("interval: 5s", "interval: 1s")
    here = f'    static_configs: [{{targets: ["127.0.0.1:{service.port}"]}}]\n'
    return re.sub(r"    dns_sd_configs:.*?port: \d+\n", here, text, flags=re.DOTALL)


def of_the_page(service: Service, _: Path) -> str:
    """What the documentation prints, with its line for a service with a token."""
    (text,) = re.findall(r"```yaml\n(scrape_configs:.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{service.port}").replace("interval: 5s", "interval: 1s")
    return text.replace("# authorization: {credentials: TOKEN}", f"authorization: {{credentials: {TOKEN}}} #")


def answer(url: str, expression: str) -> list[Any]:
    """What Prometheus finds."""
    said = httpx.get(f"{url}/query", params={"query": expression}).json()
    assert said["status"] == "success", said
    found: list[Any] = said["data"]["result"]
    return found


def until_found(url: str, expression: str) -> None:
    give_up = monotonic() + PATIENCE_S
    while True:
        try:
            if answer(url, expression):
                return
        except httpx.HTTPError:
            pass  # it starts
        assert monotonic() < give_up, f"nothing for {expression}"
        sleep(0.2)  # until it has asked the service again
