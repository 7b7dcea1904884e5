"""Kernels that start at once: forked from a server that has imported the libraries.

A kernel of its own for each notebook, as ever, with nothing shared but what importing leaves. A
plain kernel imports everything again, which takes longer than many notebooks do.
"""

import multiprocessing
import multiprocessing.util
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from pmdlib.workspace.environment import KERNEL

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

LAUNCHER = "ipykernel_launcher"
"""The module that a kernel's command line runs."""


class ForkedProvisioner(LocalProvisioner):
    """Starts an IPython kernel of this Python by a fork; any other kernel as jupyter_client does.

    For use in a process that `pmdlib.workspace.parallel` made: such a process shares its server.
    """

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Start the kernel that a command line describes."""
        own = Path(cmd[0]).resolve() == Path(sys.executable).resolve()
        if LAUNCHER not in cmd or not own:
            return await super().launch_kernel(cmd, **kwargs)
        kernel = Forked(cmd, kwargs["env"], kwargs.get("cwd"))
        self.process = kernel  # type: ignore[assignment]
        self.pid = self.pgid = kernel.pid
        return self.connection_info


class Forked:
    """A forked kernel, with as much of `subprocess.Popen` as a provisioner calls."""

    stdin = stdout = stderr = None

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], directory: str | None
    ) -> None:
        self._process: BaseProcess = multiprocessing.get_context("forkserver").Process(
            target=_run, args=(list(command), dict(variables), directory), name="kernel"
        )
        self._process.start()
        self.pid = self._process.pid
        # Whoever asked for a kernel does not wait for it at its own end.
        multiprocessing.util.Finalize(None, self._process.kill, exitpriority=0)

    def poll(self) -> int | None:
        """Return the exit code, or None while the kernel runs."""
        return self._process.exitcode

    def wait(self) -> int | None:
        """Wait for the end of the kernel."""
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, if there is still somebody to send it to."""
        if self.poll() is None and self.pid is not None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the kernel to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End the kernel."""
        self._process.kill()


def _run(command: list[str], variables: dict[str, str], directory: str | None) -> None:
    """Be a kernel, in a new process."""
    os.setsid()  # a signal to the kernel also goes to what it starts, and a terminal's to neither
    prepared = all(os.environ.get(name) == value for name, value in KERNEL.items())
    if directory is not None:
        os.chdir(directory)
    if not prepared:  # the server was started for other work: import under the right variables
        os.execve(command[0], command, variables)
    threading.Thread(target=_follow_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(variables)
    from ipykernel.kernelapp import launch_new_instance

    sys.argv = command[command.index(LAUNCHER) :]
    launch_new_instance(sys.argv[1:])


def _follow_parent() -> None:
    """End this kernel when the process that asked for it has gone without a word."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.killpg(0, signal.SIGKILL)
