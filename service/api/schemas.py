"""The JSON that the service answers with; OpenAPI is made from these."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from qpi_live.camera.account import AccountSnapshot
from qpi_live.camera.features import FeatureValue
from qpi_live.camera.source import CameraIdentity
from qpi_live.models.phase_frame import EngineIdentity, FringeState, PhaseQuality
from qpi_live.models.sideband import Sideband
from qpi_live.service.line.latency import Percentiles
from qpi_live.service.line.state import State
from qpi_live.service.view import Layer


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Problem(_Answer):
    """Why a request was not done; nothing has changed."""

    detail: str = Field(description="one sentence: what was expected, what came, what to do")


class Live(_Answer):
    """The process answers."""

    status: Literal["live"] = "live"


class Line(BaseModel):
    """One of the cameras that run at once."""

    name: str = Field(description="what the parameter `camera` of other requests takes")
    source: str = Field(description="the camera that frames come from now")
    state: str
    sentence: str


class Ready(_Answer):
    """Whether frames can be expected."""

    ready: bool
    state: State
    sentence: str


class StateAnswer(_Answer):
    """What the pipeline is doing."""

    name: State
    sentence: str


class Account(_Answer):
    """Frames: captured = delivered + dropped + failed + in_flight, always."""

    captured: int
    delivered: int
    in_flight: int
    dropped: dict[str, int] = Field(description="by reason")
    failed: dict[str, int] = Field(description="by reason")

    @classmethod
    def of(cls, snapshot: AccountSnapshot) -> Account:
        """The answer for a snapshot."""
        return cls.model_validate(snapshot)


class StagePercentiles(_Answer):
    """What a stage took over the last 30 s, in ms."""

    p50: float
    p95: float
    p99: float
    max: float
    frames: int

    @classmethod
    def of(cls, percentiles: Percentiles) -> StagePercentiles:
        """The answer for measured percentiles."""
        return cls.model_validate(percentiles)


class Engine(_Answer):
    """Which engine makes the phase."""

    name: str
    kind: str
    device: str
    version: str
    detail: dict[str, str | int | float | bool | None]

    @classmethod
    def of(cls, identity: EngineIdentity) -> Engine:
        """The answer for an identity."""
        return cls(
            name=identity.name,
            kind=identity.kind,
            device=identity.device,
            version=identity.version,
            detail=dict(identity.detail),
        )


class OpticsAnswer(_Answer):
    """The stream's optics."""

    wavelength_m: float | None
    pixel_pitch_m: float | None
    magnification: float
    numerical_aperture: float | None
    refractive_index: float | None = None
    object_pixel_m: float | None


class Stated(_Answer):
    """What a user says of a camera's optics; null leaves what the camera itself says."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)

    wavelength_nm: float | None = Field(default=None, gt=0, description="vacuum wavelength of the illumination, nm")
    pixel_um: float | None = Field(default=None, gt=0, description="pitch of the sensor's pixels, µm")
    magnification: float | None = Field(default=None, gt=0, description="from sample to sensor")
    na: float | None = Field(default=None, gt=0, le=1.7, description="numerical aperture of the objective")
    refractive_index: float | None = Field(default=None, ge=1, le=3, description="of the medium around the sample")


class Camera(_Answer):
    """Who the camera is and what it sends."""

    source: str
    vendor: str
    model: str
    serial: str
    shape: tuple[int, int]
    bit_depth: int
    frame_rate_hz: float | None
    optics: OpticsAnswer | None
    settings: dict[str, FeatureValue] = Field(description="of a camera that has features, as read back from it")
    remark: str = Field(description="what is not as it was set, left out or missing, in sentences; empty otherwise")

    @classmethod
    def of(cls, identity: CameraIdentity) -> Camera:
        """The answer for an identity."""
        return cls.model_validate(identity)


class Subscriber(_Answer):
    """One client of the stream."""

    name: str
    layer: str
    beside: str | None
    dtype: str
    max_fps: float
    downscale: int
    account: Account


class Departed(_Answer):
    """The stream's clients that are gone, summed."""

    connections: dict[str, int] = Field(description="by why they ended")
    account: Account


class Rate(_Answer):
    """Frames per second over the last two seconds."""

    captured: float
    delivered: float


class Drift(_Answer):
    """Whether a promoted network differs from the classical phase by more than the gate saw when it was promoted."""

    is_drifting: bool
    expected_rad: float = Field(description="RMS difference of the gate's median frame")
    largest_expected_rad: float = Field(
        description="of the gate's worst frame; the alarm is raised at 1.5 times this, or 3 for simulated ones"
    )
    sentence: str | None = Field(description="what has happened and what to do; null without an alarm")


class Baseline(_Answer):
    """How the live engine agrees with the baseline, over the last frames that both did."""

    engine: str
    fraction: float
    frames: int = Field(description="frames behind the means")
    rms_rad: float | None = Field(description="root mean square difference without the level")
    psnr_db: float | None = Field(description="on the 0–12 rad scale")
    latency_ms: float | None = Field(description="what the baseline took for its last frame")
    engine_error_rad: float | None = Field(description="the engine's RMS error; null unless the frames are simulated")
    baseline_error_rad: float | None = Field(description="the baseline's RMS error; null unless they are simulated")
    drift: Drift | None = Field(
        default=None, description="null unless the engine is a network that passed the gate, beside the classical chain"
    )
    account: Account
    last_failure: str | None


class Uploads(_Answer):
    """Frames on their way to the engine's device."""

    on_device: int = Field(description="frames that the queue put there")
    through_host: dict[str, int] = Field(description="frames that it left to the engine to upload, by reason")


class Quality(_Answer):
    """How far the newest phase can be trusted."""

    residues: int | None
    disputed_pixels: int | None
    bright_cut_links: int | None = Field(
        description="links between bright pixels that branch cuts block: the phase may show steps of 2π"
    )
    carrier_strength: float | None = Field(description="the frame's spectral peak at the carrier over its surroundings")
    fringe_contrast: float | None = Field(description="contrast of the fringes, 0 … 1")
    saturated_share: float | None = Field(description="share of saturated pixels, 0 … 1")
    fringes: FringeState | None = Field(description="what the fringes are like; null where no engine looks at them")
    masked_share: float | None = Field(description="share of the pixels whose fringes are too weak for a phase")
    background_order: int | None = Field(description="order of the polynomial background that was taken off")
    calibration_tilt_rad: float | None = Field(
        description="how far the phase was tilted against the calibration frame, across the frame; null without one"
    )
    background_doubt_rad: float | None = Field(
        description="by how much the background is likely to be off, RMS; null where no engine can tell"
    )
    warning: str | None

    @classmethod
    def of(cls, quality: PhaseQuality) -> Quality:
        """The answer for a phase's quality."""
        return cls.model_validate(quality)


class Stats(_Answer):
    """Everything about the stream at one moment."""

    state: StateAnswer
    ready: bool
    epoch: int = Field(description="grows when the camera comes back, is switched or changes its frames")
    reconnects: int = Field(description="how often a camera that was lost came back")
    uptime_s: float
    now_ns: int = Field(description="the service's clock, ns of Unix time (UTC), as a frame's `captured_ns`")
    fps: Rate
    latency_ms: dict[str, StagePercentiles] = Field(
        description="queue_wait, the engine's stages, retrieval (all of them), total (capture to publication), encode"
    )
    event_loop_ms: StagePercentiles | None = Field(description="how late the server's event loop wakes")
    account: Account
    uploads: Uploads | None = Field(description="null where the engine works on no device")
    subscribers: list[Subscriber]
    departed: Departed
    engine: Engine
    camera: Camera
    baseline: Baseline | None
    last_failure: str | None
    quality: Quality | None
    layers: list[Layer] = Field(description="what the newest frame can be shown as")


class EngineOffer(_Answer):
    """An engine that the stream can be switched to."""

    name: str
    opens: bool = Field(description="whether it can be opened on this machine")
    why_not: str | None = Field(description="why it cannot be opened here")
    trusted: bool | None = Field(description="whether it suits the stream's frames; null where that is not known")
    doubt: str | None = Field(description="why its phase is not to be trusted on this stream")


class NewEngine(BaseModel):
    """Which engine is to make the phase."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field(max_length=100, description="the name of one of `engines`")


class EngineAnswer(_Answer):
    """The engine, the engines it can be switched to, and what can be tuned."""

    engine: Engine = Field(description="the one that makes the phase; `detail.chosen` says why `auto` took it")
    chosen: str = Field(description="what was asked for: a name out of `engines`")
    trusted: bool | None = Field(description="whether its newest phase is to be trusted; null before the first")
    doubt: str | None = Field(description="why it is not to be trusted")
    engines: list[EngineOffer] = Field(description="the engines that can be asked for by name")
    note: str | None = Field(default=None, description="what this request changed beside what it asked for")
    tunable: bool = Field(description="whether carrier, sideband and calibration can be adjusted")
    sideband: Sideband
    calibration_ns: int | None = Field(description="when the calibration frame was captured; null: none in force")


class NewSideband(BaseModel):
    """Which sideband to take; the phase's sign flips between upper and lower."""

    model_config = ConfigDict(extra="forbid")

    sideband: Sideband = Field(description=Sideband.explained())


class Comparison(_Answer):
    """Two engines on one frame; a constant level between them is taken off first."""

    a: str
    b: str
    rms_rad: float
    psnr_db: float | None = Field(description="on the 0–12 rad scale; null where the two are equal")
    ssim: float
    latency_ms: dict[Literal["a", "b"], float]
    shape: tuple[int, int]
