"""What a notebook's results depend on, and so why it is to run again."""

import functools
import hashlib
import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import pmdlib
from pmdlib import plugins
from pmdlib.workspace.execution import Task
from pmdlib.workspace.sources import Sources, digest

DIGITS = 16
"""Hexadecimal digits kept of a digest."""

Inputs = dict[str, Any]
"""Plain data, as it is recorded, under the names of `KINDS`."""

KINDS = {"code", "parameters", "modules", "lock", "packages", "python"}
"""What there is of inputs."""


def inputs_of(task: Task, sources: Sources) -> Inputs:
    """Gather all that the results of a notebook depend on.

    Parameters
    ----------
    task : Task
        The notebook and its parameters.
    sources : Sources
        The modules that may change.

    Returns
    -------
    dict
        ``code``: digest of its code cells and their tags, in order; ``parameters``: those it is
        given; ``modules``: name -> digest of each module it uses, directly or not; ``lock``: digest
        of uv.lock, if there is one; ``packages``: name -> installed version of what pmdlib
        requires; ``python``: the version. Prose is no part of it.
    """
    cells = code_cells(json.loads(task.source))
    texts = ["".join(cell["source"]) for cell in cells]
    shows_text = any("inspect" in text for text in texts)
    lock = task.root / "uv.lock"
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    return {
        "code": _digest(json.dumps([texts, tags])),
        "parameters": dict(task.parameters),
        "modules": {
            name: digest(path, text=shows_text)[:DIGITS]
            for name, path in sources.used_by(texts, task.parameters.values()).items()
        },
        "lock": _digest(lock.read_text(encoding="utf-8")) if lock.is_file() else None,
        "packages": packages(),
        "python": platform.python_version(),
    }


def sources_of(root: Path) -> Sources:
    """Return where the modules lie that the notebooks of a workspace may use.

    Claims and games that a workspace of one's own offers are found by their names, not imported;
    those of a distribution that lies elsewhere count for code that imports them.
    """
    installed = plugins.modules()
    own = [name for name, place in installed.items() if place.is_relative_to(root.resolve())]
    return Sources(
        (Path(pmdlib.__file__).parent, *sorted(set(installed.values()))),
        root / "notebooks",
        tuple(own),
    )


def code_cells(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the code cells of a notebook, without those that were injected."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and "injected-parameters" not in cell["metadata"].get("tags", ())
    ]


@functools.cache
def packages() -> dict[str, str]:
    """Return the installed versions of what pmdlib requires, and of what offers it something."""
    offering = plugins.distributions()
    try:
        needed = [line for line in requires("pmdlib") or () if "extra ==" not in line]
    except PackageNotFoundError:  # run from a checkout that was not installed
        return offering
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in needed]
    return {name: version(name) for name in names} | offering


def changes(old: Inputs, new: Inputs) -> list[str]:
    """Say what changed between two runs of a notebook, each change in a few words."""
    said = [] if old["code"] == new["code"] else ["its code cells changed"]
    for name in _different(old["parameters"], new["parameters"]):
        was, now = (
            repr(side["parameters"][name]) if name in side["parameters"] else "its default"
            for side in (old, new)
        )
        said.append(f"parameter {name} was {was}, is {now}")
    modules = _different(old["modules"], new["modules"])
    if modules:
        others = f" and {len(modules) - 1} more" if len(modules) > 1 else ""
        said.append(f"{modules[0]}{others} changed")
    if old["lock"] != new["lock"]:
        said.append("uv.lock changed")
    for name in _different(old["packages"], new["packages"]):
        was, now = (side["packages"].get(name, "absent") for side in (old, new))
        said.append(f"{name} was {was}, is {now}")
    if old["python"] != new["python"]:
        said.append(f"Python was {old['python']}, is {new['python']}")
    return said


def _different(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the keys at which two mappings differ: 1, 1.0, true and null are not the same."""
    one, other = (
        {key: json.dumps(value, sort_keys=True) for key, value in side.items()}
        for side in (old, new)
    )
    return sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
