"""The folders at the top are packages of one namespace: `camera/` is `qpi_live.camera`. See pyproject.toml, too."""

from setuptools import find_packages, setup

FOLDERS = ("bench", "camera", "models", "service")
found = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])

setup(
    packages=["qpi_live", *(f"qpi_live.{package}" for package in found)],
    package_dir={"qpi_live": "qpi_live", **{f"qpi_live.{folder}": folder for folder in FOLDERS}},
)
