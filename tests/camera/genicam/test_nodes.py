"""Descriptions of cameras by which GenApi computes numbers that are none."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

genapi = pytest.importorskip("genicam.genapi", reason="needs genicam: pip install 'qpi-live[camera]'")

from qpi_live.camera.errors import FeatureRefused  # noqa: E402
from qpi_live.camera.genicam.nodes import GentlNodes  # noqa: E402

_DESCRIPTION = """<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="odd" VendorName="tests" StandardNameSpace="None"
 SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0"
 MajorVersion="1" MinorVersion="0" SubMinorVersion="0"
 ProductGuid="11111111-1111-1111-1111-111111111111" VersionGuid="11111111-1111-1111-1111-111111111112"
 xmlns="http://www.genicam.org/GenApi/Version_1_1">
<Category Name="Root"><pFeature>Gain</pFeature><pFeature>FrameRate</pFeature><pFeature>Width</pFeature></Category>
<Float Name="Gain"><pValue>NoNumber</pValue></Float>
<Float Name="FrameRate"><Value>30.0</Value><pMin>NoNumber</pMin><pMax>Infinite</pMax></Float>
<Integer Name="Width"><Value>64</Value></Integer>
<SwissKnife Name="NoNumber"><Formula>LN(0.0) - LN(0.0)</Formula></SwissKnife>
<SwissKnife Name="Infinite"><Formula>0.0 - LN(0.0)</Formula></SwissKnife>
</RegisterDescription>"""


@pytest.fixture
def nodes() -> GentlNodes:
    node_map = genapi.NodeMap()
    node_map.load_xml_from_string(_DESCRIPTION)
    return GentlNodes(node_map)


def test_feature_that_is_no_finite_number_has_no_value_and_limits_that_are_none_do_not_bind(nodes: GentlNodes) -> None:
    features = {feature.name: feature for feature in nodes.all(lambda: None)}
    json.dumps([asdict(feature) for feature in features.values()], allow_nan=False)
    assert features["Gain"].value is None
    assert nodes.number("Gain") is None
    assert (features["FrameRate"].minimum, features["FrameRate"].maximum) == (None, None)
    assert nodes.set("FrameRate", 12.5).value == 12.5
    for value in (float("nan"), float("inf")):
        with pytest.raises(FeatureRefused, match="expected FrameRate"):
            nodes.set("FrameRate", value)
