"""The command `qpi`: it hears Ctrl+C, and refuses what it can, before the seconds that importing takes."""

from __future__ import annotations

import os
import sys

from qpi_live.service.cli.leaving import leave_on_ctrl_c


def main() -> None:
    """Run the command line."""
    leave_on_ctrl_c()
    from qpi_live.service.cli.first_look import refuse_at_once

    refuse_at_once(sys.argv[1:], os.environ)
    from qpi_live.service.cli.main import main as run

    run()
