"""A process that has imported the libraries, and forks into a kernel whenever it is asked to.

Whoever wants a kernel connects to its socket and sends one line of JSON: command, environment,
directory. It gets a line with the process's number and, when the kernel has ended, one with the
exit code. A kernel lives no longer than the connection; the server no longer than its standard
input is open.
"""

import ctypes
import json
import os
import selectors
import signal
import socket
import sys
from pathlib import Path
from typing import Any

LAUNCHER = "ipykernel_launcher"
"""The module that a kernel's command line runs."""

PR_SET_PDEATHSIG = 1
"""Of Linux: the signal that a process gets when its parent ends."""

PATIENCE = 10.0
"""Seconds in which a request that has begun must be complete."""


class KernelServer:
    """Forks kernels; see the module.

    Parameters
    ----------
    address : str
        Name of the socket file, which is made here.
    """

    def __init__(self, address: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(address)
        self._listener.listen()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, self._meet)
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._stop)
        self._kernels: dict[int, socket.socket] = {}
        self._serving = True

    def serve(self) -> None:
        """Serve until standard input is closed; then end all kernels."""
        while self._serving:
            for key, _ in self._selector.select():
                if key.fd in self._selector.get_map():  # not closed by an earlier one
                    key.data(key.fileobj)
        for pid in self._kernels:
            _end(pid)
            os.waitpid(pid, 0)

    def _stop(self, _: Any) -> None:
        self._serving = False

    def _meet(self, listener: socket.socket) -> None:
        """Meet somebody who is going to ask for a kernel."""
        connection, _ = listener.accept()
        connection.settimeout(PATIENCE)
        self._selector.register(connection, selectors.EVENT_READ, self._start)

    def _start(self, connection: socket.socket) -> None:
        """Answer a request: fork."""
        self._selector.unregister(connection)
        try:
            with connection.makefile("r", encoding="utf-8") as lines:
                request = json.loads(lines.readline())
        except (OSError, ValueError):  # gone, or nobody who wants a kernel
            connection.close()
            return
        server = os.getpid()
        pid = os.fork()
        if not pid:
            self._forget_all(connection)
            _end_with(server)
            _become_kernel(**request)
        ended = os.pidfd_open(pid)
        self._kernels[pid] = connection
        self._selector.register(connection, selectors.EVENT_READ, lambda _: _end(pid))
        self._selector.register(ended, selectors.EVENT_READ, lambda _: self._tell(pid, ended))
        _send(connection, {"pid": pid})

    def _tell(self, pid: int, ended: int) -> None:
        """Tell that a kernel has ended, and how; what it started ends with it."""
        _end(pid)  # it is not waited for yet, so that the number is still its own
        _, status = os.waitpid(pid, 0)
        connection = self._kernels.pop(pid)
        for registered in (connection, ended):
            self._selector.unregister(registered)
        os.close(ended)
        _send(connection, {"code": os.waitstatus_to_exitcode(status)})
        connection.close()

    def _forget_all(self, connection: socket.socket) -> None:
        """Close, in a new process, what belongs to the server and to other kernels."""
        self._selector.close()
        for other in (self._listener, connection, *self._kernels.values()):
            other.close()


def _end_with(server: int) -> None:
    """See to it that this new process ends when the server is killed, or has been."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:  # it ended before it was asked to give a sign of it
        os._exit(1)


def _become_kernel(command: list[str], variables: dict[str, str], directory: str) -> None:
    """Run as a kernel until it ends, and leave nothing of the server behind."""
    code = 1
    try:
        os.setsid()  # signals to the kernel reach what it starts; those of a terminal reach neither
        with Path(os.devnull).open() as nothing:
            os.dup2(nothing.fileno(), 0)
        os.environ.clear()
        os.environ.update(variables)
        os.chdir(directory)
        sys.argv = command[command.index(LAUNCHER) :]
        from ipykernel.kernelapp import launch_new_instance

        launch_new_instance(sys.argv[1:])
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    finally:
        os._exit(code)


def _end(pid: int) -> None:
    """End a kernel and what it started."""
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        return


def _send(connection: socket.socket, message: dict[str, int]) -> None:
    """Send a line; nobody need be there any more."""
    try:
        connection.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        return


if __name__ == "__main__":
    del sys.path[0]  # the directory it was started in, where a kernel looks for nothing
    from pmdlib.workspace import preloaded  # noqa: F401 - imported for what it imports

    KernelServer(sys.argv[1]).serve()
