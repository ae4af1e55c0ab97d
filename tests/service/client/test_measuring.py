"""Cells and regions through the Python client, from a real socket."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO

import pandas as pd
import pytest
from qpi_live.models.analysis.regions import Region, Shape
from qpi_live.models.engine import EngineOptions, open_engine
from qpi_live.service.client import PhaseClient, ServiceError
from qpi_live.service.station import Station

from tests.fakes import FakeCamera
from tests.models.analysis.discs import caps
from tests.models.fringes import interferogram
from tests.service.stations import Serving, until

_SHOWN = interferogram(caps((256, 320), [(80, 90, 40, 3), (170, 220, 50, 4)]))


def test_client_measures_cells_and_regions(make_station: Callable[..., Station], serve: Serving) -> None:
    camera = FakeCamera((256, 320))
    station = make_station(camera, open_engine("goldstein", EngineOptions(threads=1)))
    url = serve(station)
    with PhaseClient(url) as client:
        with pytest.raises(ServiceError, match="none has come yet"):
            client.cells()
        client.regions = [Region("one", Shape.ELLIPSE, ((30, 40), (130, 140)))]
        assert client.measuring.find_cells(alpha_um3_per_pg=0.18)["alpha_um3_per_pg"] == 0.18
        camera.send(2, shown=_SHOWN)
        until(lambda: station.measurer.latest is not None)
        found = client.cells(outlines=True)
        table = pd.DataFrame(found["cells"])
        assert len(table) == found["count"] == len(found["outlines"]) == 2
        assert (table["alpha_um3_per_pg"] == 0.18).all()
        assert pd.read_csv(StringIO(client.measuring.table_csv()))["id"].tolist() == table["id"].tolist()
        assert client.measuring.cell(1)["unit"] == "pg"
        [region] = client.measuring.regions()["figures"]
        assert region["figures"]["dry_mass_pg"] == pytest.approx(table["dry_mass_pg"].min(), rel=0.05)
        assert "one" in client.measuring.history_csv()
        client.regions = []
        assert client.regions == []
        with pytest.raises(ServiceError, match="points"):
            client.regions = [{"name": "a", "shape": "polygon", "points": [[0, 0], [1, 1]]}]
