"""Everything a user can set. The command line beats the environment (`QPI_…`), which beats a settings file (TOML)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from qpi_live.camera.optics import Optics, StatedOptics
from qpi_live.camera.source import CAMERA_KINDS, CameraOptions
from qpi_live.models.artifacts.promotions import FOLDER, Kind, Promotions
from qpi_live.models.engine import CHOSEN, EngineOptions
from qpi_live.models.errors import EngineUnavailable
from qpi_live.models.sideband import Sideband
from qpi_live.service.names import EVERYWHERE, host_name, is_loopback, origin, published_host
from qpi_live.service.settings_file import (
    DEFAULT_FILE,
    SettingsError,
    nearest,
    read_toml,
    refuse_native_code,
    set_by_environment,
)

__all__ = ["BUNDLED", "DEFAULT_FILE", "Settings", "SettingsError", "load_settings"]

BUNDLED = "replay:glioblastoma"
_OUR_EDGE_PX = 1024  # of frames that no instrument of the user's sets the size of
_BESIDE_BUNDLED = ("simulated:glioblastoma",)

_BETWEEN_CAMERAS = re.compile(rf",(?=\s*(?:{'|'.join(CAMERA_KINDS)})(?::|\s*,|\s*$))")

Names = Annotated[tuple[str, ...], NoDecode]


class Settings(BaseSettings):
    """The service's settings; each field's description is also what `qpi serve --help` says."""

    model_config = SettingsConfigDict(env_prefix="QPI_", env_ignore_empty=True, extra="forbid", frozen=True)

    camera: str = Field(
        default=BUNDLED,
        description="simulated, replay:PATH, gentl:PATH.cti or mmcore:CONFIG.cfg; given several times, all run at once",
    )
    more_cameras: Names = Field(
        default=(), description="further cameras that run at once, each with its own line, by commas"
    )
    other_cameras: Names | None = Field(
        default=None,
        description="further cameras that the page can switch to, by commas; unset: a simulated one beside the bundled "
        "hologram",
    )
    engine: str = Field(
        default="auto",
        description="what turns interferograms into phase; `qpi info` lists them. auto: the classical chain; with a "
        "GPU, the network on streams it was trained for",
    )
    host: str = Field(default="127.0.0.1", description="address to listen on; 0.0.0.0 also lets other machines in")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    size: int | None = Field(
        default=None,
        ge=0,
        le=16384,
        description="edge of square frames, in pixels; 0: the camera's own; unset: likewise, but 1024 for the bundled "
        "hologram and simulated cameras",
    )
    fps: float | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description="frames per second; 0: as fast as possible; unset: the camera's",
    )
    camera_settings: Path | None = Field(
        default=None, description="file of features to set on a GenICam camera, TOML or JSON (ExposureTime = 2000.0)"
    )
    loop: bool = Field(default=True, description="start a recording again at its end")
    follow: bool = Field(
        default=False, description="at a recording's end, wait for frames that are still being written"
    )
    channel: str = Field(default="", description="channel of a recording that holds the holograms; unset finds it")
    seed: int = Field(default=0, ge=0, description="seed of whatever is random in the camera")

    wavelength_nm: float | None = Field(default=None, gt=0, description="vacuum wavelength of the illumination, in nm")
    pixel_um: float | None = Field(default=None, gt=0, description="pitch of the sensor's pixels, in µm")
    magnification: float | None = Field(default=None, gt=0, description="lateral magnification from sample to sensor")
    na: float | None = Field(default=None, gt=0, le=1.7, description="numerical aperture of the objective")
    refractive_index: float | None = Field(
        default=None, ge=1, le=3, description="refractive index of the medium around the sample"
    )

    carrier: str | None = Field(default=None, description="FY,FX of the carrier in cycles per pixel; unset finds it")
    sideband: Sideband | None = Field(
        default=None,
        description=f"{Sideband.listed()} (flips the phase's sign); unset: the last choice for this camera",
    )
    background_order: int | None = Field(
        default=None,
        ge=0,
        le=6,
        description="highest order of the background polynomial taken off; unset: 4, or 1 beside a calibration frame",
    )
    background: str = Field(
        default=CHOSEN,
        description="what finds the instrument's phase under the sample: polynomial, learned, the file of a learned "
        "one, or auto: the polynomial, and the learned one where cells leave that no ground",
    )
    blend: bool = Field(default=False, description="let the network of the fused engine take noise off the phase")
    networks: Path = Field(
        default=FOLDER,
        description="folder of your own networks; one that `qpi models promote` puts in force there is taken over live",
    )
    calibration: Path | None = Field(default=None, description="file of a sample-free interferogram to divide out")
    threads: int | None = Field(default=None, ge=1, description="CPU threads the engine may use; unset is all cores")

    recordings: Path = Field(default=Path("~/qpi-recordings"), description="folder that recordings go to")
    recordings_free_mb: int = Field(
        default=2000, ge=0, description="megabytes that recordings leave free on the disk: they stop before"
    )
    recordings_memory_mb: int = Field(
        default=512, ge=1, description="megabytes of frames that may wait for the disk, or for a trigger"
    )

    baseline: str | None = Field(
        default=None,
        description="engine that checks a part of the live frames; unset: goldstein, on the GPU beside an engine there",
    )
    baseline_fraction: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="part of the frames it checks, 0 … 1; off where it is the engine",
    )

    allowed_hosts: Names = Field(default=(), description="further host names this service is reached as, by commas")
    allowed_origins: Names = Field(default=(), description="web origins (http://lab:3000) that may use it, by commas")
    token: str | None = Field(
        default=None,
        min_length=8,
        description="what whoever asks must know; unset: made at the start where other machines reach the service",
    )
    no_token: bool = Field(default=False, description="let in everybody who reaches the service, without a token")
    published_at: str | None = Field(
        default=None,
        description="HOST, HOST:PORT or URL at which a container or proxy publishes the page; loopback needs no token",
    )
    max_upload_mb: int = Field(default=64, ge=1, le=4096, description="largest body of a request, in MiB")
    sent_memory_mb: int = Field(
        default=2048, ge=64, description="memory that engines may take for frames that are sent, in MiB"
    )
    sent_seconds: float = Field(default=30.0, gt=0, le=3600, description="longest time for one frame that is sent")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )

    @field_validator("allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _several_cameras(cls, values: Any) -> Any:
        """`--camera` given several times, or a list in the file: the first, and those beside it."""
        cameras = values.get("camera") if isinstance(values, dict) else None
        if not isinstance(cameras, list | tuple):
            return values
        if not cameras:
            raise ValueError("expected at least one camera, got an empty list")
        return {**values, "camera": cameras[0]} | ({"more_cameras": tuple(cameras[1:])} if cameras[1:] else {})

    @field_validator("other_cameras", "more_cameras", mode="before")
    @classmethod
    def _split_cameras(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        # Only before another camera: files may have commas in their names.
        return tuple(name.strip() for name in _BETWEEN_CAMERAS.split(value) if name.strip())

    @field_validator("allowed_hosts")
    @classmethod
    def _plain_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host_name(one) for one in value)

    @field_validator("allowed_origins")
    @classmethod
    def _plain_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(origin(one) for one in value)

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("expected an address such as 127.0.0.1, got an empty one")
        return value.strip()

    @field_validator("token", mode="before")
    @classmethod
    def _plain_token(cls, value: object) -> object:
        if isinstance(value, str) and not value.strip().isprintable():
            raise ValueError("expected a token of printable letters, got a line break or another control character")
        return value.strip() if isinstance(value, str) else value

    @field_validator("published_at")
    @classmethod
    def _check_published_at(cls, value: str | None) -> str | None:
        if value is not None:
            published_host(value)
        return value

    @field_validator("log_level", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("carrier")
    @classmethod
    def _check_carrier(cls, value: str | None) -> str | None:
        if value is not None:
            parse_carrier(value)
        return value

    @model_validator(mode="after")
    def _check_optics(self) -> Settings:
        self.optics.over(None)  # refuses what cannot be
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Given values first, then the environment; a settings file comes in through `load_settings`."""
        return init_settings, env_settings

    @property
    def optics(self) -> StatedOptics:
        """What is said of the optics, in place of what the camera says."""
        return StatedOptics(self.wavelength_nm, self.pixel_um, self.magnification, self.na, self.refractive_index)

    @property
    def is_for_others(self) -> bool:
        """Whether other machines can reach the service."""
        host = self.host if self.published_at is None else published_host(self.published_at)
        return host in EVERYWHERE or not is_loopback(host)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The camera to begin with, and those that the page can switch to."""
        others = self.other_cameras
        if others is None:
            others = _BESIDE_BUNDLED if self.camera == BUNDLED else ()
        return (self.camera, *others)

    def camera_options(self, source: str) -> CameraOptions:
        """What the camera `source` is asked for."""
        is_ours = source.startswith("simulated") or source in (BUNDLED, "replay", "replay:")
        edge = _OUR_EDGE_PX if self.size is None and is_ours else self.size
        return CameraOptions(
            shape=(edge, edge) if edge else None,
            frame_rate_hz=self.fps,
            loop=self.loop,
            seed=self.seed,
            optics=self.optics,
            settings_file=self.camera_settings,
            channel=self.channel,
            follow=self.follow,
        )

    def engine_options(self, optics: Optics | None, sideband: Sideband) -> EngineOptions:
        """What an engine of the live stream is asked for; `optics` are the camera's."""
        carrier = None if self.carrier is None else parse_carrier(self.carrier)
        background = self.background_order, self.threads, self.background
        promotions = Promotions(self.networks.expanduser())
        network, network_refusal = _promoted(promotions, Kind.NETWORK)
        learned, learned_refusal = _promoted(promotions, Kind.BACKGROUND)
        return EngineOptions(
            optics,
            carrier,
            sideband,
            *background,
            blend=self.blend,
            is_live=True,
            network=network,
            learned=learned,
            network_refusal=network_refusal,
            learned_refusal=learned_refusal,
        )


def _promoted(promotions: Promotions, kind: Kind) -> tuple[Path | None, str]:
    """The file of the network in force, and why it cannot be had."""
    try:
        return promotions.file(kind), ""
    except EngineUnavailable as error:
        return None, str(error)


def load_settings(given: dict[str, Any], file: Path | None = None) -> Settings:
    """The settings: `given` over the environment over `file` (or `qpi.toml` in the current folder, where there is one).

    Raises:
        SettingsError: the file cannot be read, or a value does not fit.
    """
    chosen = file or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    written = {} if chosen is None else read_toml(chosen)
    for name in written.keys() - Settings.model_fields.keys():
        near = nearest(name, Settings.model_fields)
        raise SettingsError(f"{chosen}: {name}: not permitted, there is no such setting{near}")

    class WithFile(Settings):
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *sources: PydanticBaseSettingsSource, **named: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file_source = InitSettingsSource(settings_cls, init_kwargs=written)
            return (*super().settings_customise_sources(settings_cls, *sources, **named), file_source)

    in_force = written.keys() - given.keys() - set_by_environment()
    try:
        settings = WithFile(**given)
    except ValidationError as error:
        sentences = [
            _sentence(one, f"{chosen}: " if one["loc"][:1] and one["loc"][0] in in_force else "")
            for one in error.errors()
        ]
        raise SettingsError("; ".join(sentences)) from error
    if chosen is not None and file is None:
        refuse_native_code(chosen, {name: value for name, value in written.items() if name in in_force})
    return settings


def parse_carrier(text: str) -> tuple[float, float]:
    """(fy, fx) in cycles per pixel of what a user wrote as FY,FX.

    Raises:
        ValueError: it is no carrier.
    """
    try:
        fy, fx = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"expected FY,FX in cycles per pixel, such as 0.21,-0.18; got {text!r}") from None
    if not (abs(fy) + abs(fx) > 0 and abs(fy) <= 0.5 and abs(fx) <= 0.5):  # which NaN is not, either way round
        raise ValueError(f"expected a carrier between 0 and 0.5 cycles per pixel, got {text!r}")
    return fy, fx


def _sentence(error: Any, file: str) -> str:
    where = ".".join(str(part) for part in error["loc"][:1]) or "settings"
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"] or message.startswith("expected"):
        return f"{file}{where}: {message}" if error["loc"] else message
    return f"{file}{where}: {message[0].lower()}{message[1:]}, got {error['input']!r}"
