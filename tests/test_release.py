"""What is released: version numbers agree, builds are the same bytes and whole, the wheel runs."""

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from configparser import ConfigParser
from email import message_from_string
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.version import Version

from pmdlib.workspace.files import find_notebooks

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# The files that `make release` has built, and their time; without them the tests build their own.
DIST = os.environ.get("PMDLIB_DIST")
EPOCH = os.environ.get("SOURCE_DATE_EPOCH", "1704067200")
CLAIM = "performance-difference"
# The stored proofs are among the package's data.
READS_DATA = """
from pmdlib.analysis.potential.verdicts import load_witnesses
print(*load_witnesses())
"""


# Version numbers and the citation


def newest(changelog):
    """Version of the topmost section that has one."""
    return re.search(r"^## \[(\d[^]]*)\]", changelog, flags=re.MULTILINE)[1]


@pytest.fixture
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_all_say_the_same_version(citation):
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert newest(changelog) == PROJECT["version"] == citation["version"]
    assert newest("# Changelog\n## [Unreleased]\n\n## [0.2.0] - day\n## [0.1.0]\n") == "0.2.0"


def test_sections_of_the_changelog_are_of_the_known_kinds_and_versions_fall():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    kinds = re.findall(r"^### (.*)$", changelog, flags=re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    versions = re.findall(r"^## \[(\d[^]]*)\]", changelog, flags=re.MULTILINE)
    assert sorted(map(Version, versions), reverse=True) == [Version(each) for each in versions]


PERSON = {
    "type": "object",
    "required": ["family-names", "given-names"],
    "additionalProperties": False,
    "properties": {"family-names": {"type": "string"}, "given-names": {"type": "string"}},
}
ENTITY = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {"name": {"type": "string"}},
}
TEXT = {"type": "string", "minLength": 1}
# The part of the schema of version 1.2.0 that is used here; what it does not know is refused.
CITATION_SCHEMA = {
    "type": "object",
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": TEXT,
        "title": TEXT,
        "abstract": TEXT,
        "type": {"enum": ["software", "dataset"]},
        "version": TEXT,
        "license": {"const": "MIT"},
        "keywords": {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True},
        "authors": {"type": "array", "items": {"anyOf": [PERSON, ENTITY]}, "minItems": 1},
        "references": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["type", "title", "authors"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["article", "generic", "report", "unpublished"]},
                    "title": TEXT,
                    "year": {"type": "integer"},
                    "notes": TEXT,
                    "url": {"type": "string", "pattern": "^https://"},
                    "authors": {"type": "array", "items": PERSON, "minItems": 1},
                    "identifiers": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["type", "value"],
                            "additionalProperties": False,
                            "properties": {
                                "type": {"enum": ["doi", "url", "swh", "other"]},
                                "value": TEXT,
                                "description": TEXT,
                            },
                        },
                    },
                },
            },
        },
    },
}


def test_the_citation_is_well_formed_and_names_the_paper_that_the_readme_names(citation):
    jsonschema.validate(citation, CITATION_SCHEMA)
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]
    (paper,) = citation["references"]
    reference = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Reference\n")[2]
    said = re.sub(r"[*\s]+", " ", reference)
    assert paper["title"] in said
    names = [f"{each['given-names'][0]}. {each['family-names']}" for each in paper["authors"]]
    assert ", ".join(names) in said
    assert paper["identifiers"][0]["value"] in said
    assert str(paper["year"]) in said


@pytest.mark.parametrize("key", ["authors", "title", "message"])
def test_a_citation_without_what_it_needs_is_refused(citation, key):
    del citation[key]
    with pytest.raises(jsonschema.ValidationError, match=f"'{key}' is a required property"):
        jsonschema.validate(citation, CITATION_SCHEMA)


# What is built


def run(*command, **options):
    """Run a command, and show what it said if it fails."""
    result = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, **options
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout


def build(source, target, *what):
    """Build with the locked hatchling, without downloads; return the files by their ending."""
    environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    options = ("--no-isolation", "--skip-dependency-check", "--outdir", target)
    run(sys.executable, "-m", "build", *options, *what, source, env=environment, cwd=target.parent)
    return by_ending(target)


def by_ending(folder):
    return {path.name.rpartition(".")[2]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist (gz), and the wheel (whl) that was built from it."""
    if DIST:
        return by_ending(ROOT / DIST)
    return build(ROOT, tmp_path_factory.mktemp("release") / "dist")


@pytest.fixture(scope="module")
def wheel(built):
    return built["whl"]


def repository(*patterns):
    """Files that git would keep here: those it knows, and new ones that it does not ignore."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", *patterns, cwd=ROOT)
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def sources_of_notebooks():
    """Names of the numbered notebooks' sources, which the wheel brings as templates."""
    return {str(path.relative_to(ROOT)) for path in find_notebooks(ROOT)}


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert all(
            archive.read(name) == (ROOT / name).read_bytes() for name in repository("pmdlib")
        )
        copies = {f"pmdlib/workspace/templates/{name}": name for name in sources_of_notebooks()}
        assert all(archive.read(name) == (ROOT / copies[name]).read_bytes() for name in copies)
    about = f"pmdlib-{PROJECT['version']}.dist-info/"
    files = {name for name in names if not name.startswith(about)}
    assert files == repository("pmdlib") | copies.keys()
    assert f"{about}licenses/LICENSE" in names
    assert "pmdlib/py.typed" in names
    assert "pmdlib/claims/ways/worst_instances.json" in names


def test_the_wheel_says_what_pyproject_says(wheel):
    about = f"pmdlib-{PROJECT['version']}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_string(archive.read(f"{about}/METADATA").decode())
        points = ConfigParser()
        points.read_string(archive.read(f"{about}/entry_points.txt").decode())
    stated = {"console_scripts": PROJECT["scripts"]} | PROJECT.get("entry-points", {})
    assert {group: dict(points[group]) for group in points.sections()} == stated
    assert (metadata["Name"], metadata["Version"]) == ("pmdlib", PROJECT["version"])
    assert metadata["License-Expression"] == PROJECT["license"]
    needed = [each for each in metadata.get_all("Requires-Dist") if "extra ==" not in each]
    assert len(needed) == len(PROJECT["dependencies"])


def test_the_sdist_holds_what_is_needed_to_build_and_to_read(built):
    with tarfile.open(built["gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    documents = {"README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE"}
    assert documents | {"pyproject.toml"} | repository("pmdlib", "tests") <= names


def test_builds_are_the_same_bytes_from_here_and_from_the_sdist(built, tmp_path):
    """Neither place nor time of a file counts; a wheel from the tree is the one from the sdist."""
    again = build(ROOT, tmp_path / "again", "--sdist", "--wheel")
    assert again["gz"].read_bytes() == built["gz"].read_bytes()
    assert again["whl"].read_bytes() == built["whl"].read_bytes()
    with tarfile.open(built["gz"]) as archive:
        archive.extractall(tmp_path / "else", filter="data")
    (source,) = (tmp_path / "else").iterdir()
    for path in source.rglob("*"):
        os.utime(path, (1e9, 1e9))
    elsewhere = build(source, tmp_path / "third", "--wheel")
    assert elsewhere["whl"].read_bytes() == built["whl"].read_bytes()


def test_another_byte_of_the_package_is_another_wheel(built, tmp_path):
    with tarfile.open(built["gz"]) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with (source / "pmdlib" / "errors.py").open("a") as file:
        file.write("#")
    changed = build(source, tmp_path / "dist", "--wheel")
    assert changed["whl"].read_bytes() != built["whl"].read_bytes()


# The wheel, installed


def clean(place):
    """Make a virtual environment; return its Python, and an environment without ours."""
    run(sys.executable, "-m", "venv", "--without-pip", place)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    return place / "bin" / "python", kept


def try_out(python, environment, folder):
    """Use an installed pmdlib from a folder that has nothing of ours; return its `run`."""
    folder.mkdir()

    def here(name, *arguments):
        return run(python.with_name(name), *arguments, env=environment, cwd=folder)

    where = here("python", "-c", "import pmdlib; print(pmdlib.__file__)")
    assert Path(where.strip()).is_relative_to(python.parents[1])
    assert here("pmdlib", "--version") == f"pmdlib {PROJECT['version']}\n"
    assert CLAIM in here("pmdlib", "claims")
    assert "distancing" in here("python", "-c", READS_DATA).split()
    return here


def test_the_wheel_runs_by_itself(wheel, tmp_path):
    """The dependencies are those of the tests, by a path; pmdlib comes from the wheel."""
    python, environment = clean(tmp_path / "venv")
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    try_out(python, environment, tmp_path / "folder")


@pytest.mark.slow
def test_the_wheel_runs_in_a_clean_environment_with_the_locked_dependencies(wheel, tmp_path):
    """What a user gets: nothing but the wheel and what it asks for, as locked."""
    python, environment = clean(tmp_path / "venv")
    uv = Path(sysconfig.get_path("scripts"), "uv")
    needed = run(uv, "export", "--frozen", "--no-dev", "--no-emit-project", "--quiet", cwd=ROOT)
    (tmp_path / "requirements.txt").write_text(needed)
    install = (uv, "pip", "install", "--quiet", "--python", python)
    run(*install, "--require-hashes", "--requirement", tmp_path / "requirements.txt")
    run(*install, "--no-deps", wheel)
    run(uv, "pip", "check", "--quiet", "--python", python)
    here = try_out(python, environment, tmp_path / "folder")
    here("pmdlib", "verify", CLAIM, "--profile", "quick", "--jobs", "1")
