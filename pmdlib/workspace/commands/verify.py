"""`pmdlib verify`: run the notebooks, or verify single claims."""

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from pmdlib.workspace.plan import Plan, Report


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
        "--only",
        action="append",
        default=[],
        metavar="NOTEBOOK",
        help="this notebook, by name or number; repeatable",
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
        help="run notebooks and their sweeps on this Dask cluster (else sweeps run where "
        "PMDLIB_SCHEDULER says)",
    )
    parser.add_argument("--force", action="store_true", help="run what is up to date as well")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would run and why, and do nothing"
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="say where results differ from the committed ledger, and by how much",
    )
    parser.add_argument(
        "--kernel",
        choices=("forked", "plain"),
        default="forked",
        help="fork kernels from a server that has imported the libraries, or start each by itself",
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

    parameters = {"profile": options.profile} | dict(options.parameters)
    if options.seed is not None:
        parameters["seed"] = options.seed
    plan = Plan(
        find_root(),
        registry(),
        output=options.output,
        only=options.only,
        parameters=parameters,
        jobs=options.jobs,
        timeout=options.timeout,
        fork=options.kernel == "forked",
        scheduler=options.scheduler,
        force=options.force,
    )
    if options.dry_run:
        return _say_what_is_due(plan)
    # The processes that run notebooks, and their kernels, start under it.
    address = {} if options.scheduler is None else {SCHEDULER_VARIABLE: options.scheduler}
    with environment(address):
        report = run_notebooks(plan)
    agree = _compare(plan, report) if options.compare else True
    _say(plan, report)
    return OK if report.verified and agree else FAILED


def _say_what_is_due(plan: "Plan") -> int:
    """Print which notebooks would run, and why."""
    from pmdlib.workspace.notebooks import find_due
    from pmdlib.workspace.plan import make_tasks
    from pmdlib.workspace.records import Records
    from pmdlib.workspace.tables import columns

    due, current = find_due(make_tasks(plan), plan, Records(plan))
    reasons = {each.task.name: f"would run: {each.reason}" for each in due}
    reasons |= {task.name: "up to date" for task in current}
    rows = sorted(reasons.items())
    print(columns(rows))
    print(f"notebooks to run: {len(due)}, up to date: {len(current)}")
    return OK


def _say(plan: "Plan", report: "Report") -> None:
    """Print the ledger, what failed, and the counts."""
    from pmdlib.workspace.tables import columns, failures, summary

    rows: list[tuple[str, ...]] = [("", "claim", "tag", "shown", "tightest", "controls")]
    for name, *cells in summary(report.entries):
        rows.append(("✗" if failures(name, report.entries[name]) else "✓", name, *cells))
    print(columns(rows))
    for name, cause in sorted(report.failed.items()):
        kept = plan.failed_copy(name)
        where = f"\n  read {os.path.relpath(kept)}" if kept.is_file() else ""
        print(f"FAILED {name}: {cause}{where}")
    for name in report.missing:
        print(f"MISSING {name}: no notebook recorded a verdict on it")
    counts = {
        "notebooks verified": len(report.succeeded),
        "up to date": len(report.current),
        "failed": len(report.failed),
        "claims without a verdict": len(report.missing),
    }
    always = ("notebooks verified", "failed")
    print(", ".join(f"{what}: {n}" for what, n in counts.items() if n or what in always))


def _compare(plan: "Plan", report: "Report") -> bool:
    """Print where the ledger differs from the committed one; say whether they agree."""
    from pmdlib.workspace.compare import DIGITS, committed_ledger, differences
    from pmdlib.workspace.files import WorkspaceError
    from pmdlib.workspace.tables import columns

    committed = committed_ledger(plan)
    if committed is None:
        raise WorkspaceError("--compare needs a ledger that is committed to git; there is none")
    found = differences(committed, report.entries)
    beyond = [each for each in found if not each.within]
    if found:
        rows = [("", "claim", "what", "committed", "now", "relative")]
        rows += [
            (
                " " if each.within else "✗",
                each.claim,
                each.what,
                str(each.old),
                str(each.new),
                "" if math.isinf(each.relative) else f"{each.relative:.1e}",
            )
            for each in found
        ]
        print(columns(rows))
    print(
        f"compared with the committed ledger: {len(found)} values differ, {len(beyond)} of them "
        f"beyond {DIGITS} digits"
    )
    return not beyond


def _verify_claims(options: argparse.Namespace) -> int:
    """Verify claims by name, each in its own process, and print the verdicts."""
    from pmdlib.workspace.files import WorkspaceError
    from pmdlib.workspace.single import check_names, verify_claims
    from pmdlib.workspace.tables import text_table

    for option in ("output", "only", "parameters", "scheduler", "force", "dry_run", "compare"):
        if getattr(options, option):
            name = "-p" if option == "parameters" else f"--{option.replace('_', '-')}"
            raise WorkspaceError(f"{name} goes with notebooks, not with names of claims")
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
