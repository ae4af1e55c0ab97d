"""Monitoring asks for what the service says: every metric of the dashboard stands in `/metrics`."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.served import Service, free_port

MONITORING = Path(__file__).parents[2] / "docker" / "monitoring"


def expressions() -> list[str]:
    """What the dashboard asks Prometheus."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    options = ("--camera", "simulated", "--engine", "goldstein", "--size", "256", "--fps", "20")
    service = Service(free_port(), options, tmp_path_factory.mktemp("state"))
    service.start()
    yield httpx.get(f"{service.url}/metrics").text
    service.stop()


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
