"""Kernels that start at once: forked from a server that has imported the libraries.

A kernel of its own for each notebook, as ever, with nothing shared but what importing leaves. A
plain kernel imports everything again, which takes longer than many notebooks do. Both give the same
outputs.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from pmdlib.workspace.environment import KERNEL, environment
from pmdlib.workspace.kernel_server import LAUNCHER, KernelServer

ADDRESS_VARIABLE = "PMDLIB_KERNEL_SERVER"
"""Holds the address of the server, where `ForkedProvisioner` looks for it."""

VARIABLES = (ADDRESS_VARIABLE, "JUPYTER_DEFAULT_PROVISIONER_NAME")
"""They are for whoever starts a kernel, and not handed on to it."""

PATIENCE = 60.0
"""Seconds in which a server must have imported the libraries."""

PROVISIONER = "pmdlib-forked"
"""The name in pyproject.toml under which jupyter_client finds `ForkedProvisioner`."""


@contextlib.contextmanager
def serving() -> Iterator[str | None]:
    """Run a server, and give its address; None where kernels cannot be forked."""
    if sys.platform != "linux":
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="pmdlib-") as folder, environment(KERNEL):
        address = str(Path(folder, "kernels"))
        with subprocess.Popen(
            [sys.executable, "-m", KernelServer.__module__, address],
            cwd=folder,  # or modules of the directory it is started in come first
            stdin=subprocess.PIPE,
            start_new_session=True,
        ) as server:
            try:
                yield address
            finally:
                server.terminate()  # and with it all its kernels


def variables_for(address: str | None) -> dict[str, str]:
    """Return the environment variables under which kernels are forked by a server."""
    if address is None:
        return {}
    return dict(zip(VARIABLES, (address, PROVISIONER), strict=True))


class ForkedProvisioner(LocalProvisioner):
    """Starts an IPython kernel of this Python by a fork; any other kernel as jupyter_client does.

    For use where `ADDRESS_VARIABLE` names a server.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel that a command line describes."""
        own = Path(cmd[0]).resolve() == Path(sys.executable).resolve()
        if LAUNCHER not in cmd or not own:
            return await super().launch_kernel(cmd, **kwargs)
        kernel = Forked(cmd, kwargs["env"], str(kwargs.get("cwd") or Path.cwd()))
        self.process = kernel  # type: ignore[assignment]
        self.pid = self.pgid = kernel.pid
        return self.connection_info


class Forked:
    """A forked kernel, with as much of `subprocess.Popen` as a provisioner calls.

    Parameters
    ----------
    command : sequence of str
        That would start a plain kernel.
    variables : mapping
        Its environment.
    directory : str
        Where it runs.
    """

    stdin = stdout = stderr = None

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], directory: str
    ) -> None:
        self._code: int | None = None
        self._connection = _connect(os.environ[ADDRESS_VARIABLE])
        self._lines = self._connection.makefile("r", encoding="utf-8")
        own = {name: value for name, value in variables.items() if name not in VARIABLES}
        request = {"command": list(command), "variables": own, "directory": directory}
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self.pid: int = json.loads(self._lines.readline())["pid"]

    def poll(self) -> int | None:
        """Return the exit code, or None while the kernel runs."""
        if self._code is None and select.select([self._connection], [], [], 0)[0]:
            self.wait()
        return self._code

    def wait(self) -> int:
        """Wait for the end of the kernel; without a server no kernel is left either."""
        if self._code is None:
            line = self._lines.readline()
            self._code = json.loads(line)["code"] if line else -signal.SIGKILL
            self._lines.close()
            self._connection.close()
        return self._code

    def send_signal(self, number: int) -> None:
        """Send a signal, if there is still somebody to send it to."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the kernel."""
        self.send_signal(signal.SIGKILL)


def _connect(address: str) -> socket.socket:
    """Connect to a server, which may still be importing."""
    deadline = time.monotonic() + PATIENCE
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
        except OSError:
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return connection
