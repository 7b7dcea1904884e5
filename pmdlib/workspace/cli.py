"""The command line: `pmdlib verify` and `pmdlib claims`."""

import argparse
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmdlib.workspace.ledger import ClaimLike

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
"""Exit status: all verified; something was not; a bad request; stopped by the user."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 if every claim is verified and every control refuted, 1 if not, 130 if interrupted;
        bad usage exits with 2.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    from pmdlib.workspace.files import WorkspaceError

    try:
        if options.command == "claims":
            return _list_claims()
        if options.names:
            return _verify_claims(options)
        return _verify_workspace(options)
    except WorkspaceError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print(
            "\ninterrupted: what had finished is kept, the rest is as it was before",
            file=sys.stderr,
        )
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="pmdlib", description="Check the theory of policy mirror descent in potential games."
    )
    parser.add_argument("--version", action="version", version=f"pmdlib {version('pmdlib')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("claims", help="list the claims")
    verify = commands.add_parser(
        "verify",
        help="run the notebooks, or verify single claims",
        description="Without names: run the notebooks, and gather their verdicts in the ledger. "
        "With names: verify these claims here, without notebooks.",
    )
    verify.add_argument("names", nargs="*", metavar="NAME", help="a claim; see `pmdlib claims`")
    verify.add_argument("--profile", choices=("quick", "full"), default="full")
    verify.add_argument(
        "--jobs", type=_positive(int), default=_cores(), help="processes at a time (%(default)s)"
    )
    verify.add_argument("--seed", type=_seed, help="of the random instances")
    verify.add_argument(
        "--notebook", action="append", default=[], metavar="NAME", help="run this one; repeatable"
    )
    verify.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        type=_assignment,
        metavar="NAME=VALUE",
        help="set a parameter of the notebooks; repeatable",
    )
    verify.add_argument(
        "--output", type=Path, metavar="DIR", help="put executed/ and figures/ there"
    )
    verify.add_argument(
        "--timeout",
        type=_positive(float),
        default=1800.0,
        metavar="SECONDS",
        help="for each notebook (%(default)g)",
    )
    verify.add_argument(
        "--scheduler",
        type=_address,
        metavar="tcp://HOST:PORT",
        help="run the notebooks' sweeps on this Dask cluster (else where PMDLIB_SCHEDULER says, or "
        "here)",
    )
    return parser


def _positive(kind: type[int] | type[float]) -> Any:
    """Return a reader of positive numbers for argparse."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(0)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text!r} is not a positive {kind.__name__}")
        return value

    return read


def _seed(text: str) -> int:
    """Read a seed: a whole number, not negative."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number >= 0")
    return int(text)


def _address(text: str) -> str:
    """Read the address of a Dask scheduler."""
    if not re.fullmatch(r"[a-z]+://.+:\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as tcp://HOST:PORT")
    return text


def _cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _assignment(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name in {"profile", "seed"}:
        raise argparse.ArgumentTypeError(f"use --{name} for {name}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _registry() -> "Mapping[str, ClaimLike]":
    """Return the claims."""
    claims: Mapping[str, ClaimLike] = import_module("pmdlib").claims
    return claims


def _list_claims() -> int:
    """Print the claims, one to a line."""
    from pmdlib.workspace.tables import columns

    rows = [("claim", "tag", "label", "notebook", "controls")]
    for name, claim in _registry().items():
        rows.append((name, claim.tag, claim.label, claim.notebook, str(len(claim.controls))))
    print(columns(rows))
    return OK


def _verify_workspace(options: argparse.Namespace) -> int:
    """Run the notebooks and print the ledger, what failed, and the counts."""
    from pmdlib.workspace.environment import environment
    from pmdlib.workspace.files import find_root
    from pmdlib.workspace.notebooks import run_notebooks
    from pmdlib.workspace.plan import Plan
    from pmdlib.workspace.sweep import SCHEDULER_VARIABLE
    from pmdlib.workspace.tables import columns, failures, summary

    parameters = {"profile": options.profile} | dict(options.parameters)
    if options.seed is not None:
        parameters["seed"] = options.seed
    plan = Plan(
        find_root(),
        _registry(),
        output=options.output,
        only=options.notebook,
        parameters=parameters,
        jobs=options.jobs,
        timeout=options.timeout,
    )
    # The processes that run notebooks, and their kernels, start under it.
    address = {} if options.scheduler is None else {SCHEDULER_VARIABLE: options.scheduler}
    with environment(address):
        report = run_notebooks(plan)
    rows: list[tuple[str, ...]] = [("", "claim", "tag", "shown", "tightest", "controls")]
    for name, *cells in summary(report.entries):
        rows.append(("✗" if failures(name, report.entries[name]) else "✓", name, *cells))
    print(columns(rows))
    for name, cause in sorted(report.failed.items()):
        kept = plan.executed / "failed" / f"{name}.ipynb"
        print(f"FAILED {name}: {cause}" + (f"\n  read {kept}" if kept.is_file() else ""))
    for name in report.missing:
        print(f"MISSING {name}: no notebook recorded a verdict on it")
    missing = f", claims without a verdict: {len(report.missing)}" if report.missing else ""
    print(f"notebooks verified: {len(report.succeeded)}, failed: {len(report.failed)}{missing}")
    return OK if report.verified else FAILED


def _verify_claims(options: argparse.Namespace) -> int:
    """Verify claims by name, each in its own process, and print the verdicts."""
    from pmdlib.workspace.files import WorkspaceError
    from pmdlib.workspace.single import check_names, verify_claims
    from pmdlib.workspace.tables import text_table

    for option in ("output", "notebook", "parameters", "scheduler"):
        if getattr(options, option):
            raise WorkspaceError(f"--{option} goes with notebooks, not with names of claims")
    entries, failed = verify_claims(
        check_names(options.names, _registry()),
        profile=options.profile,
        seed=options.seed or 0,
        jobs=options.jobs,
        timeout=options.timeout,
    )
    print(text_table(entries))
    for name, cause in failed.items():
        print(f"FAILED {name}: {cause}")
    print(f"claims verified: {len(entries.keys() - failed.keys())}, failed: {len(failed)}")
    return FAILED if failed else OK


if __name__ == "__main__":
    sys.exit(main())
