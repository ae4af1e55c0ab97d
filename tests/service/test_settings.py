"""Where settings come from, and what is said of those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from qpi_live.camera.errors import CameraUnavailable
from qpi_live.camera.source import CameraOptions, open_camera
from qpi_live.service.cli.serve import link, with_token
from qpi_live.service.settings import Settings, SettingsError, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"QPI_{name.upper()}", raising=False)


def test_settings_without_anything_serve_the_bundled_hologram_on_this_machine_alone() -> None:
    settings = load_settings({})
    assert (settings.camera, settings.engine, settings.size) == ("replay:glioblastoma", "auto", None)
    assert settings.cameras == ("replay:glioblastoma", "simulated:glioblastoma")
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_settings_given_beat_the_environment_and_that_beats_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('port = 1001\nsize = 256\ncamera = "simulated"\nallowed_hosts = ["lab", "lab.example"]\n')
    monkeypatch.setenv("QPI_PORT", "1002")
    monkeypatch.setenv("QPI_SIZE", "512")
    settings = load_settings({"port": 1003}, file)
    assert (settings.port, settings.size, settings.camera) == (1003, 512, "simulated")
    assert settings.allowed_hosts == ("lab", "lab.example")


def test_settings_file_in_the_current_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "qpi.toml").write_text("port = 1001\n")
    assert load_settings({}).port == 1001


def test_settings_by_commas_become_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPI_ALLOWED_HOSTS", "lab, lab.example")
    assert load_settings({"allowed_origins": "http://a"}).allowed_hosts == ("lab", "lab.example")


def test_settings_of_optics_come_in_metres() -> None:
    stated = load_settings({"wavelength_nm": 532, "pixel_um": 3.45, "magnification": 40, "na": 0.65}).optics
    optics = stated.over(None)
    assert optics is not None
    assert optics.wavelength_m == pytest.approx(532e-9)
    assert optics.object_pixel_m == pytest.approx(3.45e-6 / 40)


@pytest.mark.parametrize(
    ("source", "shape"),
    [
        ("replay:glioblastoma", (1024, 1024)),
        ("simulated", (1024, 1024)),
        ("simulated:glioblastoma", (1024, 1024)),
        ("replay:/data/cells.tif", None),
        ("gentl:/opt/vendor.cti", None),
    ],
)
def test_settings_without_a_size_leave_everybodys_own_frames_whole(source: str, shape: tuple[int, int] | None) -> None:
    assert load_settings({}).camera_options(source).shape == shape
    assert load_settings({"size": 512}).camera_options(source).shape == (512, 512)
    assert load_settings({"size": 0}).camera_options(source).shape is None


def test_settings_reach_the_camera_and_the_engine() -> None:
    settings = load_settings({"size": 0, "fps": 0, "carrier": "0.2,-0.1", "background_order": 2, "threads": 1})
    assert settings.camera_options("replay:glioblastoma").shape is None
    assert settings.camera_options("replay:glioblastoma").frame_rate_hz == 0
    options = settings.engine_options(None, "lower")
    assert options.carrier_cycles_per_px == (0.2, -0.1)
    assert (options.sideband, options.background_order, options.threads) == ("lower", 2, 1)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"port": 70000}, "port: input should be less than or equal to 65535, got 70000"),
        ({"size": "big"}, "size: .*integer.*, got 'big'"),
        ({"carrier": "0.2"}, "carrier: expected FY,FX in cycles per pixel, such as 0.21,-0.18; got '0.2'"),
        ({"carrier": "0.2,0.7"}, "carrier: expected a carrier between 0 and 0.5"),
        ({"carrier": "nan,0.1"}, "carrier: expected a carrier between 0 and 0.5"),
        ({"carrier": "0.1,nan"}, "carrier: expected a carrier between 0 and 0.5"),
        ({"sideband": "left"}, "sideband: .*'auto', 'upper' or 'lower'.*, got 'left'"),
        ({"wavelength_nm": 532, "magnification": float("inf")}, "expected a magnification of 0.001 … 10000, got inf"),
        ({"wavelength_nm": 532e-9}, "expected a wavelength in metres between 100 nm and 20 µm"),
        ({"baseline_fraction": 2}, "baseline_fraction: .*less than or equal to 1, got 2"),
    ],
)
def test_settings_that_do_not_fit_say_which_and_why(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        load_settings(given)


@pytest.mark.parametrize(
    ("text", "sentence"), [("prot = 1\n", "prot: .*not permitted"), ("port = \n", "expected TOML")]
)
def test_settings_file_that_does_not_fit_says_why(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        load_settings({}, file)


def test_settings_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml, got none"):
        load_settings({}, tmp_path / "nowhere.toml")


def test_settings_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_bytes(b"\xef\xbb\xbfport = 8123\r\n")
    assert load_settings({}, file).port == 8123


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("camra = 'simulated'", r"lab.toml: camra: not permitted, there is no such setting; did you mean 'camera'\?"),
        ("port = 'x'", "lab.toml: port: input should be a valid integer"),
        ("allowed_hosts = 'lab/x'", "lab.toml: allowed_hosts: expected a host name such as"),
        ("host = ''", "lab.toml: host: expected an address such as 127.0.0.1, got an empty one"),
    ],
)
def test_settings_file_with_something_wrong_is_named_in_the_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "lab.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=sentence):
        load_settings({}, file)


def test_settings_given_wrong_are_not_blamed_on_the_file(tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text("port = 1")
    with pytest.raises(SettingsError, match=r"^port: "):
        load_settings({"port": -1}, file)


def test_environment_with_empty_values_leaves_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "ENGINE", "WAVELENGTH_NM", "ALLOWED_HOSTS", "LOG_LEVEL", "NO_TOKEN"):
        monkeypatch.setenv(f"QPI_{name}", "")
    settings = load_settings({})
    assert (settings.host, settings.port, settings.no_token) == ("127.0.0.1", 8000, False)


@pytest.mark.parametrize("host", ["", "  "])
def test_host_that_is_empty_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match="host: expected an address such as"):
        load_settings({"host": host})


@pytest.mark.parametrize("level", ["INFO", "Info", "info"])
def test_log_level_in_any_case_is_taken(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QPI_LOG_LEVEL", level)
    assert load_settings({}).log_level == "info"


@pytest.mark.parametrize(
    ("written", "cameras"),
    [
        ("replay:/data/a,b.tif,simulated", ("replay:/data/a,b.tif", "simulated")),
        ("simulated, replay:x.h5", ("simulated", "replay:x.h5")),
        ("simulated:glioblastoma,gentl:/a.cti", ("simulated:glioblastoma", "gentl:/a.cti")),
        ("replay:a,simulated cells.tif", ("replay:a,simulated cells.tif",)),
    ],
)
def test_other_cameras_may_have_commas_in_their_names(written: str, cameras: tuple[str, ...]) -> None:
    assert load_settings({"other_cameras": written}).other_cameras == cameras


@pytest.mark.parametrize(
    "text",
    [
        "camera = 'gentl:/x.cti'",
        "engine = 'net.trt'",
        "other_cameras = ['simulated', 'gentl:/a.so']",
        "baseline = 'a.TRT'",
    ],
)
def test_file_that_merely_lies_here_may_not_name_native_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("qpi.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"qpi.toml: expected no native code .* --settings qpi.toml"):
        load_settings({})
    load_settings({}, Path("qpi.toml"))
    name = text.partition(" ")[0]
    load_settings({name: "simulated" if "camera" in name else "goldstein"})


@pytest.mark.parametrize(
    ("given", "is_for_others"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "::1"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "192.168.1.7"}, True),
        ({"host": "0.0.0.0", "published_at": "127.0.0.1:8000"}, False),
        ({"host": "0.0.0.0", "published_at": "0.0.0.0:8000"}, True),
        ({"host": "0.0.0.0", "published_at": "::1"}, False),
    ],
)
def test_token_is_made_where_other_machines_reach_the_service(given: dict[str, str], is_for_others: bool) -> None:
    settings = load_settings(given)
    assert settings.is_for_others is is_for_others
    assert (with_token(settings).token is not None) is is_for_others
    assert with_token(load_settings(given | {"no_token": True})).token is None
    assert with_token(load_settings(given | {"token": "of my own"})).token == "of my own"


def test_link_of_a_container_is_where_it_is_published() -> None:
    settings = load_settings({"host": "0.0.0.0", "published_at": "127.0.0.1:8123"})
    assert link(settings, 8000) == "http://127.0.0.1:8123"
    assert link(load_settings({"host": "::1"}), 8000) == "http://[::1]:8000"
    behind = load_settings({"published_at": "https://microscope.lab/phase/", "token": "of my own"})
    assert link(behind, 8000) == "https://microscope.lab/phase/?token=of%20my%20own"
    with pytest.raises(SettingsError, match="published_at: expected HOST, HOST:PORT or the page's URL"):
        load_settings({"published_at": "http://"})


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        ("stack.tif", "; a recording is replay:stack.tif"),
        ("/opt/x.cti", "; a GenTL producer is gentl:/opt/x.cti"),
        ("scope.cfg", "; a configuration of Micro-Manager is mmcore:scope.cfg"),
        ("webcam", ""),
    ],
)
def test_camera_that_is_a_file_says_how_to_name_it(source: str, meant: str) -> None:
    with pytest.raises(CameraUnavailable) as refusal:
        open_camera(source, CameraOptions())
    assert str(refusal.value) == f"expected a camera among simulated, replay, gentl, mmcore, got {source!r}{meant}"
