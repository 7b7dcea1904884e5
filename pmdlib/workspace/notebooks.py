"""Execute the notebooks of a workspace and publish what they verified."""

import json
import os
import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from pmdlib import plugins
from pmdlib.files import alone, sweep_up, write_atomically
from pmdlib.workspace.cleaning import with_prose
from pmdlib.workspace.execution import Outcome, Task, execute_one
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.freshness import Inputs, inputs_of, sources_of
from pmdlib.workspace.kernels import serving
from pmdlib.workspace.ledger import ClaimLike, Entry, gather, write_ledger
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.plan import Plan, Report, make_tasks
from pmdlib.workspace.progress import Progress
from pmdlib.workspace.readme import split_readme, update_readme
from pmdlib.workspace.records import Records
from pmdlib.workspace.tables import failures

MARGIN = 60.0
"""Seconds beyond a notebook's own timeout after which its process is ended from outside."""


@dataclass(frozen=True)
class Due:
    """A notebook that has to run, and why."""

    task: Task
    inputs: Inputs
    reason: str


def find_due(tasks: Sequence[Task], plan: Plan, records: Records) -> tuple[list[Due], list[Task]]:
    """Tell notebooks that have to run, the longest first, from those that are up to date.

    Parameters
    ----------
    tasks : sequence of Task
        The notebooks that are asked for.
    plan : Plan
        Where they lie, and whether they run in any case.
    records : Records
        Of earlier runs.

    Returns
    -------
    tuple
        The due ones, and the others.
    """
    sources = sources_of(plan.root)
    due: list[Due] = []
    current: list[Task] = []
    for task in tasks:
        inputs = inputs_of(task, sources)
        reason = records.reason(task.name, inputs) or ("it is forced" if plan.force else None)
        if reason is None:
            current.append(task)
        else:
            due.append(Due(task, inputs, reason))
    return sorted(due, key=lambda each: -records.seconds(each.task.name)), current


def run_notebooks(plan: Plan, stream: TextIO | None = None) -> Report:
    """Execute notebooks that are not up to date, and publish each that succeeds.

    Each has a process of its own. A notebook that fails leaves its earlier executed copy, figures
    and ledger entries as they were; what it did is kept in executed/failed/. So does an
    interruption, of whatever kind: what had finished is kept, and the next run goes on from there.

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
        Before anything runs: no notebooks, an unknown name, a parameter no notebook has, a
        README without its markers, or another run at work on the same results.
    """
    tasks = make_tasks(plan)  # a bad request is refused before anything is written
    if plan.in_place:
        split_readme(plan.root / "README.md")
    _make_folders(plan)
    with alone(plan.executed):
        sweep_up(plan.executed, plan.figures, plan.root)
        records = Records(plan)
        due, current = find_due(tasks, plan, records)
        for task in current:
            _refresh(task, plan, records)
        succeeded, failed = _run_due(due, plan, records, stream or sys.stderr)
        entries = _update_ledger(plan)
    missing = _missing(plan, {task.name for task in tasks}, failed, entries)
    names = tuple(task.name for task in current)
    return Report(tuple(sorted(succeeded)), names, failed, missing, entries)


def _make_folders(plan: Plan) -> None:
    """Make the directories of the results, or say why they cannot be had."""
    for folder in (plan.executed, plan.figures):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"results cannot be put into {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise WorkspaceError(f"results cannot be put into {folder}: it is read-only")


def _run_due(
    due: Sequence[Due], plan: Plan, records: Records, stream: TextIO
) -> tuple[list[str], dict[str, str]]:
    """Run notebooks; return the names of those that succeeded, and the causes of the others."""
    succeeded: list[str] = []
    failed: dict[str, str] = {}
    inputs = {each.task.name: each.inputs for each in due}
    with Progress(len(due), stream) as progress, closing(_results(due, plan, progress)) as results:
        for task, result in results:
            outcome = Outcome(task.name, result.cause) if isinstance(result, Lost) else result
            cause = judge(outcome, plan.claims, task.parameters["profile"])
            if cause is None:
                publish(outcome, plan)
                records.success(task, outcome, inputs[task.name])
                succeeded.append(task.name)
                progress.finish(task.name, f"verified {', '.join(outcome.verdicts)}")
            else:
                _keep_failed(outcome, plan)
                failed[task.name] = cause
                progress.finish(task.name, f"FAILED, {cause}")
    return succeeded, failed


def _results(
    due: Sequence[Due], plan: Plan, progress: Progress
) -> Generator[tuple[Task, Outcome | Lost], None, None]:
    """Yield each notebook with its outcome, from processes here or from a cluster."""
    tasks = [each.task for each in due]
    if not tasks:
        return
    if plan.scheduler is not None:
        from pmdlib.workspace.remote import run_remotely

        yield from run_remotely(tasks, plan.scheduler, plan.jobs, progress)
        return
    with serving() if plan.fork else nullcontext() as kernels:
        yield from run_parallel(
            partial(execute_one, kernels=kernels),
            tasks,
            jobs=plan.jobs,
            preload=("papermill", execute_one.__module__),
            timeout=plan.timeout + MARGIN,
            on_start=lambda task: progress.start(task.name),
            on_told=lambda task, word: progress.note(task.name, "{} {} of {}".format(*word)),
            on_tick=progress.tick,
        )


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
        if not name.startswith(f"{outcome.name}-") or "/" in name
    ]
    return "; ".join(problems) or None


def publish(outcome: Outcome, plan: Plan) -> None:
    """Write what a successful notebook made: figures, executed copy, ledger, README."""
    for name, content in outcome.figures.items():
        write_atomically(plan.figures / name, content)
    for path in plan.figures_of(outcome.name):
        if path.name not in outcome.figures:
            path.unlink()  # of an earlier run: the notebook draws it no more
    write_atomically(plan.executed / f"{outcome.name}.ipynb", outcome.notebook or "")
    plan.failed_copy(outcome.name).unlink(missing_ok=True)
    _update_ledger(plan)


def _refresh(task: Task, plan: Plan, records: Records) -> None:
    """Bring the prose of a notebook that need not run into its executed copy."""
    plan.failed_copy(task.name).unlink(missing_ok=True)  # of code that is there no more
    executed = plan.executed / f"{task.name}.ipynb"
    text = executed.read_text(encoding="utf-8")
    renewed = with_prose(json.loads(task.source), json.loads(text))
    if renewed != text:
        write_atomically(executed, renewed)
        records.refreshed(task.name)


def _keep_failed(outcome: Outcome, plan: Plan) -> None:
    """Keep for reading what a failed notebook did, as far as it came."""
    path = plan.failed_copy(outcome.name)
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


def _missing(
    plan: Plan, asked: Collection[str], failed: Mapping[str, str], entries: Mapping[str, Entry]
) -> tuple[str, ...]:
    """List the claims on which this workspace owes a verdict and has none in its ledger."""
    # A notebook that is missing is noticed where the claims are at home.
    home = not plan.only and (plan.root / "pmdlib" / "__init__.py").is_file()
    return tuple(
        name
        for name, claim in plan.claims.items()
        if claim.notebook not in failed
        and name not in entries
        and (claim.notebook in asked or (home and plugins.origin(name) is None))
    )
