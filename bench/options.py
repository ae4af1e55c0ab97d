"""Options that several benches take, each stated once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonFile = Annotated[Path | None, typer.Option(help="Also write the JSON result to this file.")]
ScratchFolder = Annotated[Path | None, typer.Option(help="Folder on the disk to measure; a temporary one.")]
