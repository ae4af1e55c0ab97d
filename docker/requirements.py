"""Print what the project needs, without the project itself: `requirements.py pyproject.toml EXTRA,… [LEFT_OUT]`."""

import sys
import tomllib
from pathlib import Path

file, extras, *left_out = sys.argv[1:]
project = tomllib.loads(Path(file).read_text())["project"]
needed = project["dependencies"] + [
    requirement for extra in extras.split(",") if extra for requirement in project["optional-dependencies"][extra]
]
for requirement in needed:
    if not any(requirement.startswith(f"{name}>") for name in left_out):
        print(requirement)
