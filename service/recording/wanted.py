"""What a person wants of a recording."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from qpi_live.camera.files.writers.layer_names import Format

RecordedLayerName = Literal["interferogram", "phase"]

LONGEST_NAME = 100
_NAME = re.compile(r"[^\W_][\w .+\-]*", re.UNICODE)
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows


def check_name(name: str) -> str:
    """The name as it is used for a folder.

    Raises:
        ValueError: it cannot be the name of a folder everywhere.
    """
    plain = unicodedata.normalize("NFC", name).strip()
    is_plain = _NAME.fullmatch(plain) and not plain.endswith(".") and not _RESERVED.fullmatch(plain)
    if not is_plain or len(plain.encode()) > LONGEST_NAME:
        raise ValueError(
            f"expected a name of at most {LONGEST_NAME} letters, digits, spaces and . _ + - that begins with a letter "
            f"or digit, got {name[:LONGEST_NAME]!r}"
        )
    return plain


def name_of_now() -> str:
    """A name that says when: for whoever gives none."""
    return datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H-%M-%S")


class Wanted(BaseModel):
    """A recording, until it is stopped or the first of the limits is reached."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", max_length=300, description="of its folder; the time where none is given")
    layers: tuple[RecordedLayerName, ...] = Field(
        default=("interferogram",),
        min_length=1,
        max_length=2,
        description="`interferogram`: every frame as the camera gave it; `phase`: what the live engine made of them",
    )
    frames: int | None = Field(default=None, ge=1, le=10**9, description="how many frames; null: no limit")
    seconds: float | None = Field(default=None, gt=0, le=10**8, description="how long, in s; null: no limit")
    megabytes: float | None = Field(
        default=None, gt=0, description="how many megabytes (10⁶) of images, all layers together; null: no limit"
    )
    every_s: float | None = Field(
        default=None, gt=0, le=10**7, description="time-lapse: one frame in so many seconds; null: every frame"
    )
    before_trigger_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="wait for a trigger, and begin with the seconds before it; frames and seconds count from it on, "
        "and without either the recording ends with it",
    )
    format: Format = Field(
        default=Format.TIFF,
        description="`ome-tiff`: pages that ImageJ opens; `ome-zarr`: OME-Zarr 0.5, a chunk a frame in shards",
    )
    file_mb: int = Field(
        default=4000,
        ge=0,
        le=4000,
        description="where a TIFF ends and the next begins, in megabytes, so that every program opens it; 0: one "
        "BigTIFF",
    )

    @field_validator("name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        return check_name(value) if value.strip() else ""

    @field_validator("layers")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError(f"expected each layer once, got {', '.join(value)}")
        return value

    @model_validator(mode="after")
    def _interval_fits(self) -> Wanted:
        if self.every_s is not None and self.seconds is not None and self.every_s > self.seconds:
            raise ValueError(f"expected an interval of at most {self.seconds:g} s, got {self.every_s:g} s")
        return self

    @property
    def most_file_bytes(self) -> int | None:
        """Where a file ends; None: nowhere."""
        return self.file_mb * 1_000_000 or None
