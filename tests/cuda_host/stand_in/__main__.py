"""Run a command against the stand-in."""

import os
import sys

from tests.cuda_host.stand_in import environment

given = environment()
os.execvpe(sys.argv[1], sys.argv[1:], given)
