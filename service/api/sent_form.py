"""A form of files instead of one file: an interferogram, a mask, a calibration frame."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

FORM_PARTS: Mapping[str, str] = {
    "frame": "the interferogram",
    "mask": "an image or array of its shape, nonzero on pixels to leave out",
    "calibration": "a sample-free interferogram of its shape, to divide out",
}
_MOST_PARTS = 8  # so that one too many is refused by its name
_IN_MEMORY = 1 << 40  # nothing goes to the disk; how large a body may be is bounded before


def is_form(request: Request) -> bool:
    """Whether the body is a form of files (`curl -F`)."""
    return request.headers.get("content-type", "").startswith("multipart/")


async def read_form(request: Request) -> dict[str, bytes]:
    """The files of a form by their part's name; `frame` is among them.

    Raises:
        HTTPException: 422: no sound form, a part that is not known, is no file or comes twice, or no frame.
    """
    parser = MultiPartParser(request.headers, request.stream(), max_files=_MOST_PARTS, max_fields=_MOST_PARTS)
    parser.spool_max_size = _IN_MEMORY
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, UnicodeDecodeError) as error:
        said = getattr(error, "message", "no boundary")
        raise HTTPException(422, f"expected a sound multipart/form-data body, got: {said}"[:300]) from error
    try:
        files: dict[str, bytes] = {}
        for name, part in form.multi_items():
            if name not in FORM_PARTS:
                raise HTTPException(422, f"expected parts among {', '.join(FORM_PARTS)}, got {name[:100]!r}")
            if not isinstance(part, UploadFile):
                raise HTTPException(422, f"expected a file in the part {name!r}, got text; with curl: -F {name}=@FILE")
            if name in files:
                raise HTTPException(422, f"expected one part {name!r}, got more")
            files[name] = await part.read()
            if not files[name]:
                raise HTTPException(422, f"expected a file in the part {name!r}, got an empty one")
    finally:
        await form.close()
    if "frame" not in files:
        raise HTTPException(422, "expected a part 'frame' with the interferogram; with curl: -F frame=@hologram.tif")
    return files
