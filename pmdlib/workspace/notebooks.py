"""Execute the notebooks of a workspace and publish what they verified."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TextIO

from pmdlib.files import write_atomically
from pmdlib.workspace.execution import Outcome, execute_one
from pmdlib.workspace.files import owner
from pmdlib.workspace.ledger import ClaimLike, Entry, gather, write_ledger
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.plan import Plan, Report, make_tasks
from pmdlib.workspace.progress import Progress
from pmdlib.workspace.readme import split_readme, update_readme
from pmdlib.workspace.tables import failures

MARGIN = 60.0
"""Seconds beyond a notebook's own timeout after which its process is ended from outside."""


def run_notebooks(plan: Plan, stream: TextIO | None = None) -> Report:
    """Execute notebooks, each in its own process, and publish each that succeeds.

    A notebook that fails leaves its earlier executed copy, figures and ledger entries as they
    were; what it did is kept in executed/failed/. So does an interruption.

    Parameters
    ----------
    plan : Plan
        What to run and where.
    stream : TextIO, optional
        Where progress is told; standard error by default.

    Returns
    -------
    Report
        What succeeded, what failed and why, and the ledger.

    Raises
    ------
    WorkspaceError
        Before anything runs: no notebooks, an unknown name, a parameter no notebook has, or a
        README without its markers.
    """
    tasks = make_tasks(plan)
    if plan.in_place:
        split_readme(plan.root / "README.md")
    succeeded: list[str] = []
    failed: dict[str, str] = {}
    with Progress(len(tasks), stream or sys.stderr) as progress:
        results = run_parallel(
            execute_one,
            tasks,
            jobs=plan.jobs,
            preload="papermill",
            timeout=plan.timeout + MARGIN,
            on_start=lambda task: progress.start(task.name),
            on_tick=progress.tick,
        )
        with closing(results):
            for task, result in results:
                outcome = Outcome(task.name, result.cause) if isinstance(result, Lost) else result
                cause = judge(outcome, plan.claims, task.parameters["profile"])
                if cause is None:
                    publish(outcome, plan)
                    succeeded.append(task.name)
                    progress.finish(task.name, f"verified {', '.join(outcome.verdicts)}")
                else:
                    _keep_failed(outcome, plan)
                    failed[task.name] = cause
                    progress.finish(task.name, f"FAILED, {cause}")
    missing = _missing(plan, succeeded, failed)
    return Report(tuple(sorted(succeeded)), failed, missing, _update_ledger(plan))


def judge(outcome: Outcome, claims: Mapping[str, ClaimLike], profile: str) -> str | None:
    """Say why a notebook has failed, or None: that no cell raised is not enough.

    Parameters
    ----------
    outcome : Outcome
        What its execution gave.
    claims : mapping
        The registry.
    profile : str
        The profile that was asked for.
    """
    if outcome.cause is not None:
        return outcome.cause
    if not outcome.verdicts:
        return "it recorded no verdict (its last cell must call conclude)"
    for name, entry in outcome.verdicts.items():
        if name not in claims:
            return f"it recorded {name!r}, which is not a claim"
        if claims[name].notebook != outcome.name:
            return f"it recorded {name!r}, which belongs to {claims[name].notebook}"
        if entry["profile"] != profile:
            return f"it recorded {name!r} with profile {entry['profile']!r}, not {profile!r}"
    problems = [text for name, entry in outcome.verdicts.items() for text in failures(name, entry)]
    problems += [
        f"it wrote the figure {name!r}, which must begin with {outcome.name!r}"
        for name in outcome.figures
        if not name.startswith(f"{outcome.name}-")
    ]
    return "; ".join(problems) or None


def publish(outcome: Outcome, plan: Plan) -> None:
    """Write what a successful notebook made: figures, executed copy, ledger, README."""
    for name, content in outcome.figures.items():
        write_atomically(plan.figures / name, content)
    for path in plan.figures.glob(f"{outcome.name}-*"):
        if path.name not in outcome.figures and owner(path.name, plan.names) == outcome.name:
            path.unlink()  # of an earlier run: the notebook draws it no more
    write_atomically(plan.executed / f"{outcome.name}.ipynb", outcome.notebook or "")
    (plan.executed / "failed" / f"{outcome.name}.ipynb").unlink(missing_ok=True)
    _update_ledger(plan)


def _keep_failed(outcome: Outcome, plan: Plan) -> None:
    """Keep for reading what a failed notebook did, as far as it came."""
    path = plan.executed / "failed" / f"{outcome.name}.ipynb"
    path.unlink(missing_ok=True)
    if outcome.notebook is not None:
        write_atomically(path, outcome.notebook)


def _update_ledger(plan: Plan) -> dict[str, Entry]:
    """Bring the ledger, and the README's table, in step with the executed notebooks."""
    entries = gather(plan.executed, plan.names, plan.claims)
    write_ledger(plan.ledger, entries)
    if plan.in_place:
        update_readme(plan.root / "README.md", entries)
    return entries


def _missing(plan: Plan, succeeded: Sequence[str], failed: Mapping[str, str]) -> tuple[str, ...]:
    """List the claims that this run should have recorded and did not."""
    recorded = gather(plan.executed, succeeded, plan.claims)
    expected = set(plan.only) or {claim.notebook for claim in plan.claims.values()}
    return tuple(
        name
        for name, claim in plan.claims.items()
        if claim.notebook in expected - set(failed) and name not in recorded
    )
