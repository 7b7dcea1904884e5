"""Forked kernels: processes of their own, which end with whoever asked for them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pmdlib.workspace import kernels
from pmdlib.workspace.kernels import ADDRESS_VARIABLE, Forked, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

#: Stands for the module that runs kernels, so that a test can say what a kernel does.
SERVER = """
import sys, types
from pmdlib.workspace.kernel_server import KernelServer

def launch_new_instance(arguments):
    exec(arguments[0], {})

app = types.ModuleType("ipykernel.kernelapp")
app.launch_new_instance = launch_new_instance
sys.modules["ipykernel"] = types.ModuleType("ipykernel")
sys.modules["ipykernel.kernelapp"] = app
KernelServer(sys.argv[1]).serve()
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A running server, whose kernels execute their first argument."""
    address = str(tmp_path / "s")
    command = [sys.executable, "-c", SERVER, address]
    monkeypatch.setenv(ADDRESS_VARIABLE, address)
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield process
        process.stdin.close()


def kernel(code, directory, **variables):
    environment = dict(os.environ) | variables
    return Forked([sys.executable, "-m", "ipykernel_launcher", code], environment, str(directory))


def gone(pid, seconds=10.0):
    """Say whether a process ends soon; one that nobody has asked after is at its end, too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_kernel_has_its_own_directory_environment_and_state(server, tmp_path):
    code = (
        "import json, os, sys\n"
        "state = json.__dict__.setdefault('mark', os.environ['MARK'])\n"
        "word = [os.getcwd(), os.environ['MARK'], state, os.getpid(), os.getsid(0), sys.argv[0]]\n"
        "open('said', 'w').write(json.dumps(word))\n"
    )
    for mark in ("one", "two"):
        place = tmp_path / mark
        place.mkdir()
        child = kernel(code, place, MARK=mark)
        assert child.wait() == 0
        assert json.loads((place / "said").read_text()) == [
            str(place),
            mark,
            mark,
            child.pid,
            child.pid,
            "ipykernel_launcher",
        ]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("raise SystemExit('words')", 1),
        ("1 / 0", 1),
        ("import os\nos.kill(os.getpid(), 9)", -9),
    ],
)
def test_the_way_a_kernel_ended_is_told(server, tmp_path, code, status, capfd):
    child = kernel(code, tmp_path)
    assert child.wait() == status
    assert child.poll() == status
    child.kill()  # nothing to end any more


def test_a_kernel_ends_with_the_connection_and_takes_its_children_with_it(server, tmp_path):
    code = (
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('pid.part', 'w').write(str(child.pid)); os.rename('pid.part', 'pid')\n"
        "time.sleep(600)\n"
    )
    child = kernel(code, tmp_path)
    while not (tmp_path / "pid").exists():
        time.sleep(0.02)
    assert child.poll() is None
    child._lines.close()
    child._connection.close()
    assert gone(child.pid)
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_kernel_that_dies_takes_its_children_with_it(server, tmp_path):
    code = "import os, subprocess\nchild = subprocess.Popen(['sleep', '600'])\n"
    child = kernel(code + "open('pid', 'w').write(str(child.pid))\nos._exit(3)", tmp_path)
    assert child.wait() == 3
    assert gone(int((tmp_path / "pid").read_text()))


def test_kernels_end_with_the_server(server, tmp_path):
    child = kernel("import time\ntime.sleep(600)", tmp_path)
    server.stdin.close()
    assert server.wait(10) == 0
    assert gone(child.pid)
    assert child.wait() == -signal.SIGKILL


def test_a_killed_server_is_noticed(server, tmp_path):
    child = kernel("import time\ntime.sleep(600)", tmp_path)
    server.kill()
    server.wait()
    assert child.wait() == -signal.SIGKILL
    assert gone(child.pid)


def test_a_kernel_of_a_server_that_is_gone_already_does_not_start():
    late = "from pmdlib.workspace.kernel_server import _end_with; _end_with(0); print('started')"
    run = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")


def test_a_caller_who_says_nothing_costs_nothing(server, tmp_path):
    deadline = time.monotonic() + 10
    while not (tmp_path / "s").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(tmp_path / "s"))
    assert kernel("pass", tmp_path).wait() == 0


def test_without_a_server_the_wait_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setenv(ADDRESS_VARIABLE, str(tmp_path / "nobody"))
    monkeypatch.setattr(kernels, "PATIENCE", 0.1)
    with pytest.raises(FileNotFoundError):
        kernel("pass", tmp_path)


def test_the_server_has_one_thread_and_the_libraries_when_it_forks():
    """Forking copies one thread only: with others, a lock may stay locked for ever."""
    code = (
        "import os, sys\n"
        "from pmdlib.workspace import preloaded\n"
        "assert all(name in sys.modules for name in preloaded.MODULES)\n"
        "assert 'matplotlib_inline.backend_inline' not in sys.modules\n"
        "print(len(os.listdir('/proc/self/task')))\n"
    )
    from pmdlib.workspace.environment import KERNEL

    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | KERNEL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "1"


def test_serving_ends_the_server():
    with serving() as address:
        assert address is not None
        connection = kernels._connect(address)
    with connection, contextlib.suppress(ConnectionResetError):
        assert connection.recv(1) == b""
