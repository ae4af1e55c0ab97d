"""Recordings over REST: start, stop, trigger; list, download, delete and bring back."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Path, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from qpi_live.service.api.routes import AtStation, AtStations, problems
from qpi_live.service.api.schemas import Account
from qpi_live.service.recording.errors import (
    RecordingError,
    RecordingHasNoRoom,
    RecordingMissing,
    RecordingRefused,
    RecordingTaken,
)
from qpi_live.service.recording.folder_zip import zip_of
from qpi_live.service.recording.wanted import Wanted, check_name
from qpi_live.service.station import Station

_STATUSES: dict[type[RecordingError], int] = {
    RecordingRefused: 422,
    RecordingMissing: 404,
    RecordingTaken: 409,
    RecordingHasNoRoom: 507,
}


class RunningRecording(BaseModel):
    """A recording that is made now, or was since the service started."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    state: str = Field(description="waiting (for its trigger), recording, done, stopped or failed")
    sentence: str = Field(description="the same for people, with what is missing")
    layers: tuple[str, ...]
    frames: int = Field(description="in the file")
    bytes: int = Field(description="of images")
    elapsed_s: float
    lost: dict[str, int] = Field(description="frames that are missing, by reason")
    phase_lost: dict[str, int] = Field(description="recorded frames without their phase, by reason")
    left_out: dict[str, int] = Field(description="frames that are not in it on purpose, by reason")
    account: Account
    free_bytes: int | None = Field(description="what may still be recorded; null where the disk does not tell")


class KeptRecording(BaseModel):
    """A recording on the disk."""

    model_config = ConfigDict(from_attributes=True)

    name: str
    state: str = Field(
        description="done, stopped, failed, repaired, cut off, or recording: by another camera or service"
    )
    sentence: str
    layers: tuple[str, ...]
    frames: int
    bytes: int = Field(description="of all its files")
    started_ns: int = Field(description="when it was begun, ns of Unix time")
    length_s: float = Field(description="from its first frame to its last")
    files: tuple[str, ...] = Field(description="what can be downloaded")
    engine: str = Field(description="that was in use")
    camera: str = Field(description="that it was taken with")


class RecordingsAnswer(BaseModel):
    """All recordings."""

    running: list[RunningRecording] = Field(description="made now, or since the service started; the newest first")
    kept: list[KeptRecording] = Field(description="on the disk, the newest first")
    free_bytes: int | None = Field(description="what may still be recorded; null where the disk does not tell")


class OneRecording(BaseModel):
    """One recording: how it stands, what is on the disk; null where there is nothing."""

    running: RunningRecording | None
    kept: KeptRecording | None


def _as_its_folder(name: str) -> str:
    """The name as recordings have it, however a program composes its letters; one that no recording can have, as is."""
    with suppress(ValueError):
        return check_name(name)
    return name


Recording = Annotated[str, Path(max_length=300, description="the recording's name"), AfterValidator(_as_its_folder)]


async def _making(stations: AtStations, station: AtStation, recording: Recording) -> Station:
    """The line that makes a recording now, whichever it is; else the one that is asked."""
    return next((one for one in stations.all if one.recordings.is_running(recording)), station)


Making = Annotated[Station, Depends(_making)]
File = Annotated[str, Path(max_length=300, description="one of its `files`")]

router = APIRouter(prefix="/recordings", tags=["recordings"], responses=problems(404, 409, 422, 507))


@router.post("", status_code=201, summary="Record")
def record(station: AtStation, wanted: Wanted) -> RunningRecording:
    """Every frame that the camera gives from now on, until it is stopped or the first of the limits is reached.

    Frames go to the disk beside the engine and the viewers, which wait for nothing.
    """
    return RunningRecording.model_validate(station.recordings.start(wanted))


@router.get("", summary="All recordings")
def listing(station: AtStation) -> RecordingsAnswer:
    """Those that are made now, those on the disk, and what the disk still takes."""
    recordings = station.recordings
    made = [RunningRecording.model_validate(status) for status in recordings.statuses()]
    running = {one.name for one in made if recordings.is_running(one.name)}
    kept = [KeptRecording.model_validate(one) for one in recordings.shelf.all() if one.name not in running]
    return RecordingsAnswer(running=made, kept=kept, free_bytes=recordings.free_bytes())


@router.get("/{recording}", summary="One recording")
def one(making: Making, recording: Recording) -> OneRecording:
    """How it stands, and what of it is on the disk."""
    return _one(making, recording)


@router.post("/{recording}/stop", summary="Stop a recording")
def stop(making: Making, recording: Recording) -> OneRecording:
    """With the frames that came until now; answered once it is closed. One that is over stays as it is."""
    with suppress(RecordingMissing):  # one that is only on the disk is over already
        making.recordings.stop(recording)
    answer = _one(making, recording)
    if answer.running is None and answer.kept is not None and answer.kept.state == "recording":
        raise RecordingTaken(f"expected a recording of this service, got {recording!r}, which another service makes")
    return answer


@router.delete("/{recording}", summary="Delete a recording")
def delete(station: AtStation, recording: Recording) -> OneRecording:
    """It can be had back for an hour. One that is made now is not deleted: stop it first."""
    station.player.forget(recording)
    station.recordings.delete(recording)
    return OneRecording(running=None, kept=None)


@router.post("/{recording}/trigger", summary="Give a recording its trigger")
def trigger(making: Making, recording: Recording) -> RunningRecording:
    """It begins, with the seconds before now."""
    return RunningRecording.model_validate(making.recordings.trigger(recording))


@router.post("/{recording}/restore", summary="Bring back a deleted recording")
def restore(station: AtStation, recording: Recording) -> OneRecording:
    """As it was before it was deleted, within the last hour."""
    station.recordings.shelf.restore(recording)
    return _one(station, recording)


@router.get(
    "/{recording}/files/{file}",
    summary="Download a file of a recording",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def file(station: AtStation, recording: Recording, file: File) -> Response:
    """One of the names in `files`; an OME-Zarr as a ZIP file, not compressed, that zarr and napari open as it is."""
    path = station.recordings.shelf.file(recording, file)
    if path.is_dir():
        name = quote(f"{recording} {file}")
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{name}"}
        return StreamingResponse(zip_of(path), media_type="application/zip", headers=headers)
    return FileResponse(path, media_type="application/octet-stream", filename=f"{recording} {file}")


def answer_recording_errors(app: FastAPI) -> None:
    """What cannot be done is answered with one sentence in `detail`."""

    @app.exception_handler(RecordingError)
    async def _answer(_: Request, error: RecordingError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, _STATUSES[type(error)])


def _one(station: Station, name: str) -> OneRecording:
    recordings = station.recordings
    running = kept = None
    try:
        running = RunningRecording.model_validate(recordings.status(name))
    except RecordingMissing:
        kept = KeptRecording.model_validate(recordings.shelf.one(name))
    else:
        if not recordings.is_running(name):
            try:
                kept = KeptRecording.model_validate(recordings.shelf.one(name))
            except RecordingMissing:
                kept = None
    return OneRecording(running=running, kept=kept)
