"""The record of runs, beside the ledger: what each result came from, when, where and how long."""

import hashlib
import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pmdlib.files import write_atomically
from pmdlib.workspace.execution import Outcome, Task
from pmdlib.workspace.freshness import DIGITS, KINDS, Inputs, changes
from pmdlib.workspace.plan import Plan, parameters_of

FILE = "provenance.json"
"""Name of the record in the directory of the executed notebooks; it stays out of git."""

Record = dict[str, Any]


class Records:
    """What is known of earlier runs, notebook by notebook.

    Parameters
    ----------
    plan : Plan
        Says where results are; those of each output directory have their own record.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._path = plan.executed / FILE
        self._records = _read(self._path)
        self._origin = {"pmdlib": version("pmdlib"), **_commit(plan.root)}

    def __getitem__(self, name: str) -> Record:
        """Return the record of a notebook's last success, empty if it has none."""
        return self._records.get(name, {})

    def reason(self, name: str, inputs: Inputs) -> str | None:
        """Say why a notebook has to run; None if its results are up to date."""
        record = self[name]
        if not record:
            return "it has not run here yet"
        if found := changes(record["inputs"], inputs):
            return "; ".join(found)
        outputs = self._outputs(name)
        for path, kept in record["outputs"].items():
            if outputs.get(path) != kept:
                return f"{path} was {'changed' if path in outputs else 'removed'}"
        if new := sorted(outputs.keys() - record["outputs"].keys()):
            return f"{new[0]} is not of its last run"
        return None

    def success(self, task: Task, outcome: Outcome, inputs: Inputs) -> None:
        """Record that a notebook ran to its end and its results are in place."""
        self._records[task.name] = {
            "inputs": inputs,
            "outputs": self._outputs(task.name),
            "provenance": {
                "parameters": parameters_of(task.source) | dict(task.parameters),
                "finished": outcome.finished,
                "seconds": round(outcome.seconds, 3),
                "machine": outcome.machine,
                **self._origin,
            },
        }
        self._write()

    def refreshed(self, name: str) -> None:
        """Record that a notebook's results were written anew without a run: its prose changed."""
        self._records[name] = self[name] | {"outputs": self._outputs(name)}
        self._write()

    def seconds(self, name: str) -> float:
        """Return how long a notebook took the last time, 0 if that is not known."""
        return float(self[name].get("provenance", {}).get("seconds", 0.0))

    def _outputs(self, name: str) -> dict[str, str]:
        """Digest the files that a notebook's last run left."""
        plan = self._plan
        executed = plan.executed / f"{name}.ipynb"
        files = [*([executed] if executed.is_file() else []), *plan.figures_of(name)]
        base = plan.figures.parent
        return {
            os.path.relpath(path, base): hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
            for path in files
        }

    def _write(self) -> None:
        known = {name: self._records[name] for name in self._plan.names if name in self._records}
        write_atomically(self._path, json.dumps(known, indent=1, ensure_ascii=False) + "\n")


def _read(path: Path) -> dict[str, Record]:
    """Read the record; one that is damaged or of another shape counts as none."""
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(records, dict) and all(
        isinstance(record, dict)
        and {"inputs", "outputs", "provenance"} <= record.keys()
        and isinstance(record["inputs"], dict)
        and record["inputs"].keys() == KINDS
        for record in records.values()
    )
    return records if whole else {}


def _commit(root: Path) -> dict[str, Any]:
    """Return the commit of the workspace, and whether what runs differs from it."""
    files = ["pmdlib", "notebooks/*.ipynb", "pyproject.toml", "uv.lock"]
    questions = (
        ["rev-parse", "HEAD"],
        ["status", "--porcelain", "--", *files, ":!notebooks/executed"],
    )
    answers = []
    for question in questions:
        try:
            done = subprocess.run(
                ["git", *question], cwd=root, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return {"commit": None, "modified": None}  # no git here, or no repository
        answers.append(done.stdout.strip())
    return {"commit": answers[0], "modified": bool(answers[1])}
