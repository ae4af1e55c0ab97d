"""Child processes that never outlive the program that started them, however that ends, even if they hang.

A driver that hangs holds the interpreter lock, so the child cannot notice by itself that its parent is gone. The system
does it: on Linux a pipe whose other end closes with the parent sends a SIGKILL, on Windows a job object does.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from threading import Thread

if sys.platform == "win32":
    from qpi_live.camera.windows_job import end_with_this_process
else:
    import fcntl


def start_child(
    module: str, handles: Sequence[int], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Run `module` as a Python program, with the inheritable `handles` as its command line's first arguments.

    It gets this program's import path and none of its working directory, and no Ctrl+C. It must call `end_with_parent`
    first of all.
    """
    command = [sys.executable, "-P", "-m", module, *map(str, handles)]
    inherited = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))} | dict(environment or {})
    if sys.platform == "win32":
        for handle in handles:
            os.set_handle_inheritable(handle, True)
        startup = subprocess.STARTUPINFO(lpAttributeList={"handle_list": list(handles)})
        group = subprocess.CREATE_NEW_PROCESS_GROUP
        # With stdin given, stdout and stderr are handed on, too, also where the service's own are files or pipes.
        process = subprocess.Popen(
            command, env=inherited, stdin=subprocess.DEVNULL, startupinfo=startup, creationflags=group
        )
        end_with_this_process(process)
        return process
    lifeline, held = os.pipe()
    try:
        process = subprocess.Popen(
            [*command, str(lifeline)],
            env=inherited,
            stdin=subprocess.DEVNULL,
            pass_fds=(*handles, lifeline),
            process_group=0,
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(lifeline)
    weakref.finalize(process, os.close, held)
    return process


def end_with_parent() -> None:
    """In the child: be killed as soon as the program that started it is gone."""
    if sys.platform == "win32":
        return  # the parent has seen to it
    lifeline = int(sys.argv[-1])
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # gone already, before the system was told to look
            os._exit(1)
    else:
        Thread(target=_wait_for_the_end, args=(lifeline,), daemon=True).start()


def _wait_for_the_end(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)
