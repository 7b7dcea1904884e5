"""`pmdlib new`: begin a claim, a notebook, a game or a workspace from a template that works."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pmdlib.workspace.commands.options import OK, registry

if TYPE_CHECKING:
    from pmdlib.workspace.templates.making import Draft


def add_parser(commands: Any) -> None:
    """Describe the command and what it can make."""
    parser = commands.add_parser(
        "new",
        help="begin a claim, a notebook, a game or a workspace",
        description="Write files that work as they stand, to be made your own. Nothing is "
        "overwritten.",
    )
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    claim = _kind(kinds, "claim", "a claim with its control, its test and its notebook", _claim)
    claim.add_argument(
        "--notebook", metavar="NN-NAME", help="show it there, in a new notebook or as a section"
    )
    _kind(kinds, "notebook", "a notebook, with a claim unless one names it already", _notebook)
    _kind(kinds, "game", "a named game with its test", _game)
    workspace = _kind(kinds, "workspace", "a workspace of your own, beside pmdlib", _workspace)
    workspace.add_argument(
        "--with-notebooks", action="store_true", help="copy the notebooks of pmdlib too"
    )


def _kind(kinds: Any, name: str, text: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=text, description=text)
    if name == "workspace":
        parser.add_argument("directory", type=Path, metavar="DIR", help="its directory")
    else:
        parser.add_argument("name", metavar="NAME", help="lower-case words joined by hyphens")
    parser.set_defaults(run=run)
    return parser


def _claim(options: argparse.Namespace) -> int:
    from pmdlib.workspace.templates import making

    draft = making.new_claim(_places(), options.name, registry(), options.notebook)
    return _write(draft, *_verification(draft))


def _notebook(options: argparse.Namespace) -> int:
    from pmdlib.workspace.templates import making

    draft = making.notebook_for(_places(), options.name, registry())
    return _write(draft, *_verification(draft))


def _game(options: argparse.Namespace) -> int:
    from pmdlib.games.exchange import game_names
    from pmdlib.workspace.templates import making

    draft = making.new_game(_places(), options.name, game_names())
    (test,) = (path for path in draft.new if path.name.startswith("test_"))
    return _write(
        draft,
        "make it yours: change the tables, the docstring and the values worked out in its test",
        f"then:          python -m pytest {_shown(test)}",
    )


def _workspace(options: argparse.Namespace) -> int:
    from pmdlib.workspace.templates import making

    draft = making.new_workspace(options.directory, with_notebooks=options.with_notebooks)
    draft.write()
    print(f"wrote {len(draft.new)} files of a workspace to {options.directory}")
    print(f"make it known: cd {options.directory} && python -m pip install -e .")
    print(f"then:          pmdlib claims; pmdlib verify {draft.claim}; pmdlib verify")
    return OK


def _places() -> Any:
    from pmdlib.workspace.files import find_root
    from pmdlib.workspace.templates.places import find_places

    return find_places(find_root())


def _verification(draft: "Draft") -> tuple[str, str]:
    """Say what to do next; a notebook of the ledger that was changed has to run for it again."""
    trial = "" if draft.changed else " --profile quick --output build/trial"
    return (
        f"make it yours: follow the words there, and see:  pmdlib verify {draft.claim}",
        f"then:          pmdlib verify --only {draft.notebook}{trial}",
    )


def _write(draft: "Draft", *then: str) -> int:
    """Write the files, and say so in three lines."""
    draft.write()
    told = f"wrote {', '.join(map(_shown, draft.new))}"
    if draft.changed:
        told += f"; changed {', '.join(map(_shown, draft.changed))}"
    print("\n".join((told, *then)))
    return OK


def _shown(path: Path) -> str:
    """Return a path as seen from here, if it lies below."""
    here = Path.cwd().resolve()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
