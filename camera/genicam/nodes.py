"""A GenICam camera's nodes as `Feature`s: read, described, checked and set by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

from genicam import genapi
from qpi_live.camera.errors import CameraLost, FeatureMissing, FeatureRefused
from qpi_live.camera.features import Feature, FeatureValue
from qpi_live.camera.genicam.discovery import GENTL_ERRORS

_KINDS = (
    (genapi.IInteger, "integer"),
    (genapi.IFloat, "float"),
    (genapi.IBoolean, "boolean"),
    (genapi.IEnumeration, "enumeration"),
    (genapi.ICommand, "command"),
    (genapi.IString, "string"),
)
_READABLE = (genapi.EAccessMode.RO, genapi.EAccessMode.RW)
_WRITABLE = (genapi.EAccessMode.WO, genapi.EAccessMode.RW)
_ALWAYS_THERE = "Width"
_GC_ERR_IO = "(ID: -1010)"  # of the GenTL standard; the bindings hand it on in the text alone
_UNLIMITED = 1e18  # cameras state the largest number there is where there is no range


class GentlNodes:
    """The features of one open camera. One thread uses it.

    Attributes:
        on_answer: called whenever the camera has answered, so that a slow one can be told from one that hangs.
    """

    def __init__(self, node_map: Any) -> None:
        self._map = node_map
        self.on_answer: Callable[[], None] = _nothing

    def all(self, between: Callable[[], None]) -> list[Feature]:
        """All features that are implemented, in the camera's order; `between` is called after each.

        Raises:
            CameraLost: the camera does not answer.
        """
        features = []
        try:
            for category, node in self._walk("Root", ""):
                features.append(_describe(node, category))
                self.on_answer()
                between()
        except GENTL_ERRORS as error:
            raise _lost(error) from error
        return features

    def feature(self, name: str) -> Feature:
        """The feature called `name`, read now.

        Raises:
            FeatureMissing: there is none.
            CameraLost: the camera does not answer.
        """
        node = self._node(name)
        try:
            feature = _describe(node)
        except GENTL_ERRORS as error:
            raise _lost(error) from error
        self.on_answer()
        return feature

    def has(self, name: str) -> bool:
        """Whether there is a feature called `name` that can be read or set now."""
        try:
            node = self._node(name)
        except FeatureMissing:
            return False
        return node.get_access_mode() in (*_READABLE, *_WRITABLE)

    def number(self, name: str) -> float | None:
        """The number that the feature holds; None where there is none that can be read."""
        value = self.feature(name).value if self.has(name) else None
        return None if value is None or isinstance(value, str) else float(value)

    def set(self, name: str, value: FeatureValue) -> Feature:
        """Set the feature, or execute the command, and return it as read back.

        Raises:
            FeatureMissing: there is none of that name.
            FeatureRefused: it does not take this value; the text says which it takes.
            CameraLost: the camera does not answer.
        """
        node, feature = self._node(name), self.feature(name)
        if not feature.writable:
            raise FeatureRefused(_why_not_writable(feature))
        try:
            _write(node, feature, value)
            return _describe(node)
        except (genapi.OutOfRangeException, genapi.InvalidArgumentException) as error:
            raise FeatureRefused(f"expected {_taken(feature)}, got {value!r}") from error
        except GENTL_ERRORS as error:
            # Some cameras refuse what their own description allows, a locked register say: then they still answer.
            is_gone = _GC_ERR_IO in str(error) or not self.answers()
            if isinstance(error, genapi.AccessException) or not is_gone:
                raise FeatureRefused(f"{name} cannot be set now: {error}") from error
            raise _lost(error) from error

    def answers(self) -> bool:
        """Whether the camera itself, not a cache, still says how wide its frames are."""
        try:
            node = self._node(_ALWAYS_THERE)
            node.node.invalidate_node()
            node.to_string()
        except (FeatureMissing, *GENTL_ERRORS):
            return False
        return True

    def _node(self, name: str) -> Any:
        try:
            node = self._map.get_node(name)
        except GENTL_ERRORS as error:
            raise FeatureMissing(f"expected a feature of this camera, got {name!r}") from error
        if node is None or not isinstance(node, tuple(kind for kind, _ in _KINDS)):
            raise FeatureMissing(f"expected a feature of this camera, got {name!r}")
        return node

    def _walk(self, category: str, label: str) -> Iterator[tuple[str, Any]]:
        for node in self._map.get_node(category).features:
            if isinstance(node, genapi.ICategory):
                yield from self._walk(node.node.name, node.node.display_name or node.node.name)
            elif _kind(node) and node.get_access_mode() != genapi.EAccessMode.NI:
                yield label, node


def _nothing() -> None:
    pass


def _kind(node: Any) -> str:
    return next((kind for interface, kind in _KINDS if isinstance(node, interface)), "")


def _describe(node: Any, category: str = "") -> Feature:
    kind, access = _kind(node), node.get_access_mode()
    readable = access in _READABLE and kind != "command"
    limits: dict[str, Any] = {}
    if readable and kind in ("integer", "float"):
        limits = {"minimum": _limit(node.min), "maximum": _limit(node.max), "unit": node.unit}
        if kind == "integer":
            limits["increment"] = int(node.inc)
    elif readable and kind == "enumeration":
        limits["choices"] = tuple(
            entry.symbolic for entry in node.entries if entry.get_access_mode() in (*_READABLE, *_WRITABLE)
        )
    return Feature(
        name=node.node.name,
        kind=kind,
        value=_known(node.value) if readable else None,
        readable=readable,
        writable=access in _WRITABLE,
        # A selector belongs before what it selects.
        stored=kind != "command" and bool(node.node.is_streamable() or node.node.is_selector()),
        category=category,
        description=node.node.tooltip or node.node.description,
        **limits,
    )


def _known(value: FeatureValue) -> FeatureValue | None:
    """A feature's value; None for what is no number, which JSON cannot say either."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _limit(limit: float) -> float | None:
    return limit if abs(limit) < _UNLIMITED else None  # NaN is no limit


def _write(node: Any, feature: Feature, value: FeatureValue) -> None:
    if feature.kind == "command":
        node.execute()
        return
    if feature.kind == "boolean":
        if not isinstance(value, bool):
            raise FeatureRefused(f"expected {_taken(feature)}, got {value!r}")
        node.value = value
        return
    if feature.kind in ("integer", "float"):
        node.value = _checked_number(feature, value)
        return
    if not isinstance(value, str) or (feature.choices and value not in feature.choices):
        raise FeatureRefused(f"expected {_taken(feature)}, got {value!r}")
    node.value = value


def _checked_number(feature: Feature, value: FeatureValue) -> int | float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = int(value) if feature.kind == "integer" else float(value)
    except (ValueError, OverflowError):  # text, not a number, infinity, or a whole number beyond any float
        is_number = False
    if not is_number or _known(number) is None or (feature.kind == "integer" and value != number):
        raise FeatureRefused(f"expected {_taken(feature)}, got {value!r}")
    too_low = feature.minimum is not None and number < feature.minimum
    too_high = feature.maximum is not None and number > feature.maximum
    off_step = bool(feature.increment) and (number - (feature.minimum or 0)) % (feature.increment or 1) != 0
    if too_low or too_high or off_step:
        raise FeatureRefused(f"expected {_taken(feature)}, got {value!r}")
    return number


def _taken(feature: Feature) -> str:
    """What a feature takes, in words: "ExposureTime between 10.0 and 1000000.0 us"."""
    if feature.choices:
        return f"{feature.name} among {', '.join(feature.choices)}"
    if feature.minimum is not None and feature.maximum is not None:
        step = f" in steps of {feature.increment}" if feature.increment and feature.increment > 1 else ""
        unit = f" {feature.unit}" if feature.unit else ""
        return f"{feature.name} between {feature.minimum} and {feature.maximum}{unit}{step}"
    kinds = {"boolean": "true or false", "string": "text", "integer": "a whole number", "float": "a number"}
    return f"{feature.name} as {kinds.get(feature.kind, feature.kind)}"


def _why_not_writable(feature: Feature) -> str:
    if feature.stored:  # a setting, hence locked for now rather than for good
        return f"{feature.name} cannot be set while the camera streams, or in its present mode; stop the camera first"
    return f"{feature.name} can only be read"


def _lost(error: Exception) -> CameraLost:
    return CameraLost(f"the camera no longer answers: {error}")
