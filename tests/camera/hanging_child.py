"""A child whose driver hangs: `PyDLL` keeps the interpreter lock, so nothing in Python can notice anything any more."""

import ctypes
import sys

from qpi_live.camera.child import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    print("hanging", flush=True)
    ctypes.PyDLL(None).sleep(600)
    sys.exit(1)
