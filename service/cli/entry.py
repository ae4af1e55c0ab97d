"""The command `qpi`: it hears Ctrl+C before the seconds that importing takes."""

from __future__ import annotations

from qpi_live.service.cli.leaving import leave_on_ctrl_c


def main() -> None:
    """Run the command line."""
    leave_on_ctrl_c()
    from qpi_live.service.cli.main import main as run

    run()
