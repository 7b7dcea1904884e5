"""Building the site: pages in a temporary folder, Sphinx on them, the result in place whole."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pmdlib.workspace.files import WorkspaceError

CONFIGURATION = Path(__file__).parent / "configuration"

REQUIRED = ("sphinx", "myst_nb", "pydata_sphinx_theme", "sphinxcontrib.bibtex", "jinja2")
"""What the optional dependencies called "site" bring, besides MathJax."""

INSTALL = "pip install 'pmdlib[site]'"


def build_site(root: Path, claims: Mapping[str, Any], output: Path) -> Path:
    """Build the site and put it in place of an earlier one.

    It needs no server, and no page asks for anything beyond its folder. A reader of the earlier
    site meets it until the new one is complete; if the build fails, it stays.

    Parameters
    ----------
    root : Path
        The workspace.
    claims : mapping
        The registry: name -> claim.
    output : Path
        The folder of the site: missing, empty, or an earlier site.

    Returns
    -------
    Path
        Its index.html.

    Raises
    ------
    WorkspaceError
        If something that it needs is not installed, the folder cannot be written or holds
        something else, a document links to nothing, or Sphinx has a warning.
    """
    mathjax = _check_tools()
    output = output.resolve()
    if output.exists() and not _replaceable(output):
        raise WorkspaceError(f"{output} holds something else than a site; name another directory")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(prefix=".site-", dir=output.parent)
    except OSError as error:
        raise WorkspaceError(f"cannot write the site to {output}: {error.strerror}") from error
    with place as name:
        made = Path(name) / "html"
        _make(root, claims, Path(name), made, mathjax)
        if output.exists():
            output.rename(Path(name) / "earlier")
        made.rename(output)
    return output / "index.html"


def _check_tools() -> Path:
    """Return the file of MathJax, after a look at whether everything is installed."""
    missing = [name for name in REQUIRED if not _found(name)]
    try:
        package = distribution("sphinx-mathjax-offline")
        file = Path(str(package.locate_file("sphinx-mathjax-offline/static/mathjax/tex-svg.js")))
    except PackageNotFoundError:
        file = Path()
    if not file.is_file():
        missing.append("sphinx-mathjax-offline")
    if missing:
        raise WorkspaceError(f"the site needs {', '.join(missing)}: {INSTALL}")
    return file


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # of a package whose parent is missing
        return False


def _replaceable(output: Path) -> bool:
    """Say whether a path is a folder that is empty or holds a site: then nothing is lost."""
    if not output.is_dir():
        return False
    return not any(output.iterdir()) or (output / ".buildinfo").is_file()


def _make(root: Path, claims: Mapping[str, Any], place: Path, made: Path, mathjax: Path) -> None:
    """Write the site into a new folder."""
    from pmdlib.workspace.site.content import write_pages

    sources = place / "sources"
    copied = write_pages(root, claims, sources)
    (made / "_static" / "mathjax").mkdir(parents=True)
    shutil.copyfile(mathjax, made / "_static" / "mathjax" / mathjax.name)
    for file in copied:
        (made / "files" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, made / "files" / file)
    if (root / "figures").is_dir():
        shutil.copytree(root / "figures", made / "figures", ignore=shutil.ignore_patterns("*.md"))
    _run_sphinx(sources, made, place / "doctrees")
    for leftover in ("objects.inv", "_static/webpack-macros.html"):  # of use to Sphinx only
        (made / leftover).unlink(missing_ok=True)


def _run_sphinx(sources: Path, made: Path, doctrees: Path) -> None:
    """Run Sphinx in a process of its own; a warning is an error."""
    options = ["-b", "html", "-j", "auto", "-q", "-W", "--keep-going", "-c", str(CONFIGURATION)]
    command = [sys.executable, "-m", "sphinx", *options, "-d", str(doctrees)]
    command += [str(sources), str(made)]
    path = os.pathsep.join(filter(None, sys.path))
    result = subprocess.run(
        command,
        cwd=sources,
        env=os.environ | {"PYTHONPATH": path, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        told = (result.stderr or result.stdout).replace(f"{sources}{os.sep}", "").strip()
        raise WorkspaceError(f"Sphinx could not build the site:\n{told}")
