"""environment.yml, pyproject.toml and uv.lock describe one environment."""

import copy
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]

# conda-forge's name -> PyPI's, where they differ.
PYPI_NAMES = {
    "dask-core": "dask",
    "matplotlib-base": "matplotlib",
    "python-build": "build",
    "seaborn-base": "seaborn",
}
# Its own extras, which the development group takes in; their packages are looked at themselves.
OWN = {"pmdlib[site]"}
# What conda needs in order to install pmdlib itself.
CONDA_ONLY = {"pip", "-e"}


def conda_ranges(environment):
    """PyPI name -> range, for each conda package of environment.yml."""
    listed = environment["dependencies"]
    packages = [entry for entry in listed if isinstance(entry, str)]
    packages += [line for entry in listed if isinstance(entry, dict) for line in entry["pip"]]
    pairs = (package.partition(" ")[::2] for package in packages)
    return {
        PYPI_NAMES.get(name, name): SpecifierSet(versions)
        for name, versions in pairs
        if name not in CONDA_ONLY
    }


def project_ranges(project):
    """Name -> range, for Python and each direct requirement of pyproject.toml."""
    extras = project["project"]["optional-dependencies"].values()
    groups = (project["project"]["dependencies"], *extras, project["dependency-groups"]["dev"])
    requirements = [Requirement(line) for group in groups for line in group if line not in OWN]
    ranges = {canonicalize_name(each.name): each.specifier for each in requirements}
    return {"python": SpecifierSet(project["project"]["requires-python"])} | ranges


def disagreements(environment, project, lock):
    """Say in one line each where the three files differ; an empty list is agreement."""
    conda, pypi = conda_ranges(environment), project_ranges(project)
    locked = {}
    for package in lock["package"]:
        locked.setdefault(package["name"], []).append(package.get("version"))

    found = [f"{name} is only in environment.yml" for name in conda.keys() - pypi.keys()]
    found += [f"{name} is only in pyproject.toml" for name in pypi.keys() - conda.keys()]
    for name in conda.keys() & pypi.keys():
        if conda[name] != pypi[name]:
            found.append(f"{name}: environment.yml {conda[name]}, pyproject.toml {pypi[name]}")
    if SpecifierSet(lock["requires-python"]) != pypi["python"]:
        found.append(f"python: uv.lock {lock['requires-python']}, pyproject.toml {pypi['python']}")
    for name in (conda.keys() | pypi.keys()) - {"python"}:
        versions = locked.get(name, [])
        if len(versions) != 1:
            found.append(f"{name}: uv.lock holds {versions or 'none'}, must hold one version")
        for source, ranges in (("environment.yml", conda), ("pyproject.toml", pypi)):
            found += [
                f"{name}: {source} {ranges[name]} excludes {version} of uv.lock"
                for version in versions
                if name in ranges and version not in ranges[name]
            ]
    return sorted(found)


@pytest.fixture
def files():
    """Return environment.yml, pyproject.toml and uv.lock, parsed: ours to change."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    return copy.deepcopy((environment, project, lock))


def replace(entries, name, new):
    """Replace the one entry that starts with name, or drop it where new is None."""
    (index,) = (i for i, entry in enumerate(entries) if str(entry).startswith(name))
    entries[index : index + 1] = [] if new is None else [new]


def test_files_agree(files):
    assert disagreements(*files) == []


def test_conda_installs_pmdlib_from_the_checkout(files):
    assert files[0]["dependencies"][-1]["pip"][-1] == "-e ."


def test_every_locked_file_has_a_hash(files):
    lock = files[2]
    for package in lock["package"]:
        if package["name"] == "pmdlib":
            continue
        assert package["source"] == {"registry": "https://pypi.org/simple"}
        archives = [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
        assert archives, package["name"]
        assert all(archive["hash"].startswith("sha256:") for archive in archives), package["name"]


@pytest.mark.parametrize("name", ["python", "numpy", "matplotlib-base", "pytest-xdist"])
def test_a_changed_range_is_found(files, name):
    replace(files[0]["dependencies"], f"{name} ", f"{name} >=2.3")
    (first, *_) = disagreements(*files)
    assert first.startswith(f"{PYPI_NAMES.get(name, name)}: environment.yml >=2.3, ")


def test_a_missing_name_is_found(files):
    replace(files[0]["dependencies"], "scipy ", None)
    assert disagreements(*files) == ["scipy is only in pyproject.toml"]


def test_an_added_name_is_found(files):
    files[0]["dependencies"].insert(0, "cvxpy >=1")
    assert "cvxpy is only in environment.yml" in disagreements(*files)


def test_a_range_that_excludes_the_lock_is_found(files):
    replace(files[0]["dependencies"], "numpy ", "numpy >=9")
    replace(files[1]["project"]["dependencies"], "numpy", "numpy>=9")
    (version,) = (each["version"] for each in files[2]["package"] if each["name"] == "numpy")
    assert disagreements(*files) == [
        f"numpy: {source} >=9 excludes {version} of uv.lock"
        for source in ("environment.yml", "pyproject.toml")
    ]


def test_a_second_locked_version_is_found(files):
    files[2]["package"].append({"name": "numpy", "version": "2.4.0"})
    (line,) = disagreements(*files)
    assert line.startswith("numpy: uv.lock holds ")
