"""The parts of the OpenAPI document beyond the routes: the stream, shared errors, the token, examples."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema
from qpi_live.service.viewing.audience import Choice
from qpi_live.service.wire import FrameHeader

_PARAMETERS: dict[str, object] = {
    "layer": "phase",
    "format": "npy",
    "downscale": 2,
    "engine": "goldstein",
    "a": "goldstein",
    "b": "nasprnet",
    "bit_depth": 8,
    "wavelength_nm": 532.0,
    "pixel_um": 5.5,
    "magnification": 40.0,
    "na": 0.75,
    "name": "ExposureTime",
    "number": 1,
    "recording": "run 1",
    "file": "interferogram.ome.tif",
    "index": 0,
    "camera": "VC0000",
}
_SCHEMAS: dict[str, object] = {
    "NewSideband": {"sideband": "upper"},
    "NewEngine": {"engine": "goldstein"},
    "NewValue": {"value": 2000.0},
    "NewWindow": {"y": 256, "x": 384, "height": 512, "width": 640, "binning": 1},
    "Line": {"name": "VC0000", "source": "gentl:#VC0000", "state": "live", "sentence": "Frames are streaming."},
    "Source": {"source": "simulated"},
    "CellChoice": {"finds_cells": True, "alpha_um3_per_pg": 0.19, "least_px": 200},
    "Regions": {"regions": [{"name": "cell 1", "shape": "ellipse", "points": [[100, 120], [180, 210]]}]},
    "AveragingChoice": {"frames": 16},
    "Stated": {"pixel_um": 3.45, "magnification": 40.0, "refractive_index": 1.33},
    "Wanted": {"name": "run 1", "frames": 1000, "layers": ["interferogram", "phase"]},
    "Live": {"status": "live"},
    "Ready": {"ready": True, "state": "live", "sentence": "Frames are streaming."},
    "Problem": {"detail": "expected at least 16 pixels along each axis, got shape (1, 1)"},
}
_SETTINGS = {"ExposureTime": 2000.0, "Gain": 0.0, "TriggerMode": "Off"}
_JSON_BODY = {
    "400": "the body is no JSON",
    "408": "the body did not come whole in time",
    "413": "the body is larger than 64 KiB",
}
_OPEN_TO_ALL = ("/health/live", "/health/ready")


_described: dict[str, Any] = {}


def describe_further(app: FastAPI) -> None:
    """Complete the description that FastAPI has made of `app`'s routes.

    It takes a third of a second, so it is made once a process: all applications there have the same routes.
    """
    if not _described:
        _described.update(_description_of(app))
    app.openapi = lambda: _described  # type: ignore[method-assign]  # FastAPI's own way to extend it


def _description_of(app: FastAPI) -> dict[str, Any]:
    described = app.openapi()
    _, definitions = models_json_schema(
        [(FrameHeader, "serialization"), (Choice, "validation")], ref_template="#/components/schemas/{model}"
    )
    schemas = described["components"]["schemas"]
    schemas |= definitions["$defs"]
    for name, example in _SCHEMAS.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    described["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "needed where other machines reach the service"}
    }
    for path, methods in described["paths"].items():
        for operation in methods.values():
            _complete(path, operation)
    return described


def _complete(path: str, operation: dict[str, Any]) -> None:
    if path not in _OPEN_TO_ALL:
        operation["security"] = [{}, {"token": []}]
        _may_answer(operation, "401", "the token is missing or wrong")
    for parameter in operation.get("parameters", []):
        example = _PARAMETERS.get(parameter["name"], parameter.get("schema", {}).get("default"))
        if example is not None:
            parameter["example"] = example
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        for status, why in _JSON_BODY.items():
            _may_answer(operation, status, why)
        if path.endswith("/camera/settings"):
            content["application/json"]["example"] = _SETTINGS
    if path.endswith("/camera/settings") and "get" in str(operation.get("operationId", "")):
        operation["responses"]["200"]["content"]["application/json"]["example"] = _SETTINGS


def _may_answer(operation: dict[str, Any], status: str, why: str) -> None:
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    operation["responses"].setdefault(status, {"description": why, "content": problem})
