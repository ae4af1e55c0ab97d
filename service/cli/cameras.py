"""The GenICam cameras that are there, for `qpi cameras`."""

from __future__ import annotations

from qpi_live.camera.genicam.producers import list_cameras
from rich.markup import escape
from rich.table import Column, Table


def table_of_cameras(producer: str) -> Table:
    """One row per camera that the GenTL producer (or, for "", those in GENICAM_GENTL64_PATH) offers.

    Raises:
        CameraUnavailable: there is no producer.
    """
    address_column = Column("--camera", overflow="fold")  # never cut short: it is there to be copied
    table = Table("Vendor", "Model", "Serial", "Access", address_column, title="Cameras", title_justify="left")
    for camera in list_cameras(producer):
        address = f"gentl:{camera.producer}#{camera.serial}"
        table.add_row(*map(escape, (camera.vendor, camera.model, camera.serial, camera.access, address)))
    return table
