"""The GenICam cameras that are there, for `qpi cameras`."""

from __future__ import annotations

from collections.abc import Sequence

from qpi_live.camera.genicam.producers import ProducerReport
from rich.markup import escape
from rich.table import Column, Table


def table_of_cameras(reports: Sequence[ProducerReport]) -> Table:
    """One row per camera that the GenTL producers offer."""
    address_column = Column("--camera", overflow="fold")  # never cut short: it is there to be copied
    table = Table("Vendor", "Model", "Serial", "Access", address_column, title="Cameras", title_justify="left")
    for camera in (camera for report in reports for camera in report.cameras):
        address = f"gentl:{camera.producer}#{camera.serial}"
        table.add_row(*map(escape, (camera.vendor, camera.model, camera.serial, camera.access, address)))
    return table


def line_of_producer(report: ProducerReport) -> str:
    """What came of a driver file, in a line that names it."""
    if report.problem:
        return report.problem
    found = len(report.cameras)
    return (
        f"{report.producer}: {found} camera{'' if found == 1 else 's'}"
        if found
        else (f"{report.producer}: loads, but offers no camera; check cables and power")
    )
