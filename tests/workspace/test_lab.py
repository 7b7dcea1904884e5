"""`make lab`: a real server, its kernel, and the notebooks cell by cell."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from jupyter_client import BlockingKernelClient

from pmdlib.workspace.files import find_notebooks

ROOT = Path(__file__).parents[2]
SHORT = ("03-performance-difference", "07-constant-c")
PATIENCE = 120


class Lab:
    """A running JupyterLab, by what its server wrote of itself."""

    def __init__(self, runtime):
        (path,) = runtime.glob("jpserver-*.json")
        self.runtime, self.server = runtime, json.loads(path.read_text())

    def ask(self, what, content=None):
        request = Request(
            f"{self.server['url']}api/{what}",
            data=None if content is None else json.dumps(content).encode(),
            headers={"Authorization": f"token {self.server['token']}"},
        )
        with urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def kernel(self, notebook):
        """Open a notebook as JupyterLab does, and connect to the kernel that it gets."""
        name = f"{notebook}.ipynb"
        asked = {"path": name, "name": name, "type": "notebook", "kernel": {"name": "python3"}}
        session = self.ask("sessions", asked)
        deadline = time.monotonic() + PATIENCE
        while True:
            client = BlockingKernelClient()
            file = self.runtime / f"kernel-{session['kernel']['id']}.json"
            client.load_connection_file(str(file))
            client.start_channels()
            try:
                client.wait_for_ready(timeout=PATIENCE)
            except RuntimeError:  # it takes a kernel that is still importing for dead
                client.stop_channels()
                assert time.monotonic() < deadline
            else:
                return client


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    place = tmp_path_factory.mktemp("lab")
    own = {
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTER_CONFIG_DIR": "config",
        "IPYTHONDIR": "ipython",
    }
    environment = os.environ | {name: str(place / folder) for name, folder in own.items()}
    options = "LAB=--no-browser --ServerApp.port=0 --allow-root"
    log = place / "log"
    with (
        log.open("w") as stream,
        subprocess.Popen(
            # The packages are those of this test, whatever is newer than their stamp.
            ["make", "--silent", "--old-file=.venv/.ready", "lab", options],
            cwd=ROOT,
            env=environment,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + PATIENCE
            while not [*place.glob("runtime/jpserver-*.json")]:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield Lab(place / "runtime")
        finally:
            os.killpg(process.pid, signal.SIGTERM)


@pytest.mark.slow
def test_the_lab_opens_on_the_notebooks(lab):
    assert lab.ask("status")["kernels"] == 0
    listed = {entry["name"] for entry in lab.ask("contents")["content"]}
    assert listed >= {path.name for path in find_notebooks(ROOT)}
    specs = lab.ask("kernelspecs")
    assert specs["default"] == "python3"
    spec = Path(specs["kernelspecs"]["python3"]["spec"]["argv"][0])
    assert spec.name.startswith("python")


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_notebook_runs_there_cell_by_cell(lab, name):
    figures = {path: path.stat().st_mtime_ns for path in (ROOT / "figures").iterdir()}
    content = lab.ask(f"contents/{name}.ipynb")["content"]
    kernel = lab.kernel(name)
    outputs = []
    try:
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                reply = kernel.execute_interactive(
                    cell["source"], timeout=PATIENCE, output_hook=outputs.append
                )["content"]
                assert reply["status"] == "ok", (cell["source"], reply)
        found = []
        kernel.execute_interactive(
            "import sys, os, pmdlib\nprint(sys.prefix, os.getcwd(), pmdlib.__file__, sep='\\n')",
            timeout=PATIENCE,
            output_hook=found.append,
        )
    finally:
        kernel.shutdown()
        kernel.stop_channels()
    printed = "".join(m["content"]["text"] for m in found if m["msg_type"] == "stream")
    assert printed.split() == [
        str(ROOT / ".venv"),
        str(ROOT / "notebooks"),
        str(ROOT / "pmdlib" / "__init__.py"),
    ]
    shown = [m["content"]["data"] for m in outputs if m["msg_type"] == "display_data"]
    assert any("image/png" in data for data in shown)
    assert any("application/vnd.pmdlib.verdicts+json" in data for data in shown)
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "figures").iterdir()} == figures
    assert [*(ROOT / ".pmdlib" / "figures").glob(f"{name}-*.svg")]
