"""Small workspaces, claims and verdicts of the agreed shape."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

README = "# A project\n\n<!-- ledger:begin -->\n<!-- ledger:end -->\n\nThe end.\n"

PARAMETERS = ("parameters", 'profile = "quick"\nseed = 0')


@dataclass(frozen=True)
class Control:
    name: str = "mutant"


@dataclass(frozen=True)
class Claim:
    name: str
    notebook: str
    tag: str = "derived"
    label: str = "a | label"
    statement: str = r"a < b"
    controls: tuple[Control, ...] = (Control(),)


@dataclass(frozen=True)
class Verdict:
    """What `pmdlib.verify` returns, as far as the workspace looks."""

    record: dict

    def to_dict(self):
        return self.record


def record(name, notebook, *, verdict="verified", refuted=True, profile="quick", relation=">="):
    return {
        "name": name,
        "tag": "derived",
        "label": "a | label",
        "statement": r"a < b",
        "notebook": notebook,
        "verdict": verdict,
        "profile": profile,
        "seed": 0,
        "ways": {
            "numeric": {
                "relation": relation,
                "instances": 2400,
                "skipped": 3,
                "worst_slack": 1.23456789,
            }
        },
        "controls": {
            "mutant": {
                "refuted": refuted,
                "value": -2 / 3,
                "claimed": 0.5,
                "relation": ">=",
                "description": "a sign is flipped",
            }
        },
    }


def conclude_cell(name, notebook, **options):
    return (
        "from types import SimpleNamespace\n"
        "from pmdlib.workspace import conclude\n"
        f"conclude(SimpleNamespace(to_dict=lambda: {record(name, notebook, **options)!r}))"
    )


def notebook_json(cells):
    """A notebook of code cells; a pair is (tag, source)."""
    made = []
    for index, cell in enumerate(cells):
        tag, source = cell if isinstance(cell, tuple) else (None, cell)
        made.append(
            {
                "cell_type": "code",
                "execution_count": None,
                "id": f"own-{index}",
                "metadata": {"tags": [tag]} if tag else {},
                "outputs": [],
                "source": source,
            }
        )
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": made,
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def make_workspace(root: Path, notebooks):
    """Lay out a workspace; notebooks: name -> cells after the usual parameters cell."""
    (root / "notebooks").mkdir(parents=True)
    (root / "pyproject.toml").write_text("")
    (root / "README.md").write_text(README)
    for name, cells in notebooks.items():
        document = json.dumps(notebook_json([PARAMETERS, *cells]))
        (root / "notebooks" / f"{name}.ipynb").write_text(document)
    return root


def copy_workspace(root: Path, place: Path):
    """Copy what git knows of a workspace, and what is new in it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in listed.split("\0"):
        if name and (root / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(root / name, place / name)
    return place


def snapshot(root: Path):
    """Every file below, with its content."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def fake_verify(item):
    """Stands for verifying one claim in its own process."""
    from pmdlib.workspace.parallel import Lost

    name, profile, _ = item
    if name == "lost":
        return Lost("PmdError: no such thing")
    return record(name, "01-good", profile=profile, refuted=name != "survivor")
