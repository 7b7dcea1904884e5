"""A Dask cluster of processes on this machine."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pmdlib as pmd

PACKAGES = Path(pmd.__file__).parents[1]


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Cluster:
    """A scheduler and workers, each a process."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.workers = []

    def __enter__(self):
        file = self.folder / "scheduler.json"
        options = ["--host=127.0.0.1", "--port=0", f"--scheduler-file={file}"]
        self.scheduler = self.start("scheduler", *options)
        wait_until(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        return self

    def add_workers(self, count, packages=PACKAGES):
        for _ in range(count):
            options = ["--nthreads=1", "--no-nanny", f"--local-directory={self.folder}"]
            self.workers.append(self.start("worker", self.address, *options, packages=packages))
        return self

    def start(self, kind, *options, packages=PACKAGES):
        environment = os.environ | {
            "PYTHONPATH": str(packages),
            "OPENBLAS_NUM_THREADS": "4",
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
        }
        with (self.folder / "log").open("a") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "dask", kind, "--no-dashboard", *options],
                    env=environment,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                )
            )
        return self.processes[-1]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()
