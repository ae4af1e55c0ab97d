"""Averaging over REST: over how many frames, and the reference that changes are counted from."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field
from qpi_live.models.analysis.averaging import MOST_FRAMES
from qpi_live.service.api.routes import AtStation, problems
from qpi_live.service.api.schemas import Account
from qpi_live.service.station import Station
from qpi_live.service.viewing.averager import NoAverage

router = APIRouter(prefix="/averaging", tags=["measure"], responses=problems(422, 503))


class AveragingChoice(BaseModel):
    """Over how many frames to average."""

    model_config = ConfigDict(extra="forbid")

    frames: int = Field(
        ge=1,
        le=MOST_FRAMES,
        description="1: off. The first ones count alike; from then on each new one counts 1/frames",
    )


class ReferenceAnswer(BaseModel):
    """What changes are counted from."""

    sequence: int = Field(description="of the newest frame in it")
    captured_ns: int
    averaged_frames: int = Field(description="how many frames it is the mean of")
    resting: str | None = Field(description="why it does not hold for the newest frame; null: it does")


class AveragingAnswer(AveragingChoice):
    """What is averaged at present."""

    averaged_frames: int = Field(description="how many frames are in the mean so far")
    reference: ReferenceAnswer | None = Field(description="null: none was taken")
    account: Account = Field(description="frames offered to it; superseded: skipped for lack of time")


@router.get("", summary="What is averaged")
def averaging(station: AtStation) -> AveragingAnswer:
    """The layers `mean`, `change` and `fluctuation` show it."""
    return _answer(station)


@router.put("", summary="Average over the newest frames")
def average(station: AtStation, choice: AveragingChoice) -> AveragingAnswer:
    """Begins anew with the next frame. The reference stays."""
    station.averager.choose(choice.frames)
    return _answer(station)


@router.put("/reference", summary="Take the mean as reference")
def take_reference(station: AtStation) -> AveragingAnswer:
    """The mean as it is now, the newest frame where averaging is off. The layer `change` is counted from it."""
    try:
        station.averager.take_reference()
    except NoAverage as none:
        raise HTTPException(503, str(none)) from none
    return _answer(station)


@router.delete("/reference", summary="Compare with nothing")
def drop_reference(station: AtStation) -> AveragingAnswer:
    """There is no layer `change` then."""
    station.averager.drop_reference()
    return _answer(station)


def _answer(station: Station) -> AveragingAnswer:
    averager, newest = station.averager, station.hub.latest
    taken = averager.reference
    return AveragingAnswer(
        frames=averager.most,
        averaged_frames=averager.frames if averager.most > 1 else 0,
        reference=ReferenceAnswer(
            sequence=taken.sequence,
            captured_ns=taken.captured_ns,
            averaged_frames=taken.frames,
            resting=averager.why_no_change(newest) if newest else None,
        )
        if taken
        else None,
        account=Account.of(averager.account),
    )
