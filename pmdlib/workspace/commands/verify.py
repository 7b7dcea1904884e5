"""`pmdlib verify`: run the notebooks, or verify single claims."""

import argparse
from pathlib import Path
from typing import Any

from pmdlib.workspace.commands.options import (
    FAILED,
    OK,
    address,
    assignment,
    cores,
    positive,
    registry,
    seed,
)


def add_parser(commands: Any) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "verify",
        help="run the notebooks, or verify single claims",
        description="Without names: run the notebooks, and gather their verdicts in the ledger. "
        "With names: verify these claims here, without notebooks.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a claim; see `pmdlib claims`")
    parser.add_argument("--profile", choices=("quick", "full"), default="full")
    parser.add_argument(
        "--jobs", type=positive(int), default=cores(), help="processes at a time (%(default)s)"
    )
    parser.add_argument("--seed", type=seed, help="of the random instances")
    parser.add_argument(
        "--notebook", action="append", default=[], metavar="NAME", help="run this one; repeatable"
    )
    parser.add_argument(
        "-p",
        dest="parameters",
        action="append",
        default=[],
        type=assignment,
        metavar="NAME=VALUE",
        help="set a parameter of the notebooks; repeatable",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="put executed/ and figures/ there"
    )
    parser.add_argument(
        "--timeout",
        type=positive(float),
        default=1800.0,
        metavar="SECONDS",
        help="for each notebook (%(default)g)",
    )
    parser.add_argument(
        "--scheduler",
        type=address,
        metavar="tcp://HOST:PORT",
        help="run the notebooks' sweeps on this Dask cluster (else where PMDLIB_SCHEDULER says, or "
        "here)",
    )


def run(options: argparse.Namespace) -> int:
    """Verify claims by name, or the whole workspace."""
    return _verify_claims(options) if options.names else _verify_workspace(options)


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
        registry(),
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
        check_names(options.names, registry()),
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
