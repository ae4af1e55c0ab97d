"""Words that stand in several languages agree: the page's and the documents' with the enumerations."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from qpi_live.camera.files.writers.layer_names import Format
from qpi_live.camera.words import Word
from qpi_live.models.analysis.autofocus import METRICS
from qpi_live.models.sideband import Sideband
from qpi_live.service.api.schemas import EngineAnswer, NewSideband, Ready, Stats
from qpi_live.service.line.state import State
from qpi_live.service.settings import Settings
from qpi_live.service.view import Layer
from qpi_live.service.viewing.audience import Choice
from qpi_live.service.wire import FrameHeader

PAGE = files("qpi_live.service") / "web"


def on_the_page(name: str) -> set[str]:
    """What the page offers under this name."""
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    return set(re.findall(rf'name="{name}"\s+value="([^"]+)"', html))


def test_words_travel_as_themselves_and_say_what_they_mean() -> None:
    assert (f"{Layer.PHASE}", Layer("phase"), Layer.PHASE == "phase") == ("phase", Layer.PHASE, True)
    assert Sideband.listed() == "auto, upper or lower"
    assert all(word.meaning and f"{word} ({word.meaning})" in kind.explained() for kind in KINDS for word in kind)


def test_word_that_is_none_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="expected auto, upper or lower, got 'sideways'"):
        Sideband("sideways")


def test_page_offers_every_sideband_and_only_layers_that_there_are() -> None:
    assert on_the_page("sideband") == set(Sideband)
    assert on_the_page("layer")
    assert on_the_page("layer") <= set(Layer)


@pytest.mark.parametrize(
    ("select", "words"), [("focus-metric", set(METRICS)), ("record-format", {str(kind) for kind in Format})]
)
def test_page_offers_every_word_of_a_list(select: str, words: set[str]) -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    found = re.search(rf'<select id="{select}".*?</select>', html, flags=re.DOTALL)
    assert found is not None
    assert set(re.findall(r'<option value="([^"]+)"', found[0])) == words


def test_page_knows_only_states_that_there_are() -> None:
    code = (PAGE / "liveness.js").read_text(encoding="utf-8")
    named = set(re.findall(r'name(?:: | [!=]== )"([^"]+)"', code))
    assert {"live", "waiting"} <= named
    assert named <= set(State)


def test_page_colours_only_states_that_there_are() -> None:
    styles = (PAGE / "styles" / "style.css").read_text(encoding="utf-8")
    coloured = set(re.findall(r'\.state\[data-name="([^"]+)"\]', styles))
    assert {"live", "failing", "failed"} <= coloured
    assert coloured - {"connecting", "lost"} <= set(State)  # these two are the page's own: it has no connection


@pytest.mark.parametrize(
    ("model", "definition", "kind"),
    [
        (EngineAnswer, "Sideband", Sideband),
        (NewSideband, "Sideband", Sideband),
        (Settings, "Sideband", Sideband),
        (Choice, "Layer", Layer),
        (Stats, "Layer", Layer),
        (Stats, "State", State),
        (Ready, "State", State),
    ],
)
def test_schema_lists_every_word(model: type, definition: str, kind: type[Word]) -> None:
    described = model.model_json_schema()["$defs"][definition]  # type: ignore[attr-defined]
    assert described["enum"] == [str(word) for word in kind]


def test_frame_header_explains_every_layer() -> None:
    assert FrameHeader.model_fields["layer"].description == Layer.explained()


KINDS: tuple[type[Word], ...] = (Layer, Sideband, State)
