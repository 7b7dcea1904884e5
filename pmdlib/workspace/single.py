"""Verify claims by name, without notebooks."""

import difflib
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from typing import Any, TextIO

from pmdlib.errors import PmdError
from pmdlib.workspace.environment import SINGLE_THREAD, environment
from pmdlib.workspace.files import WorkspaceError
from pmdlib.workspace.ledger import Entry, entry_of
from pmdlib.workspace.parallel import Lost, run_parallel
from pmdlib.workspace.progress import Progress
from pmdlib.workspace.tables import failures


def check_names(names: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return the names without repetition, in their order.

    Raises
    ------
    WorkspaceError
        If a name is not known; the message offers the nearest.
    """
    choices = list(known)
    for name in names:
        if name not in choices:
            near = difflib.get_close_matches(name, choices, n=3, cutoff=0.5)
            offer = f"did you mean {' or '.join(near)}?" if near else "see `pmdlib claims`"
            raise WorkspaceError(f"no claim {name!r}; {offer}")
    return list(dict.fromkeys(names))


def verify_claims(
    names: Sequence[str],
    *,
    profile: str,
    seed: int,
    jobs: int,
    timeout: float,
    verify: Callable[[tuple[str, str, int]], "dict[str, Any] | Lost"] | None = None,
    stream: TextIO | None = None,
) -> tuple[dict[str, Entry], dict[str, str]]:
    """Verify claims, each in a process of its own.

    Parameters
    ----------
    names : sequence of str
        The claims.
    profile : str
        "quick" or "full".
    seed : int
        Of the random instances.
    jobs : int
        How many processes at a time.
    timeout : float
        Seconds for each claim.
    verify : callable, optional
        A top-level function for `verify_here`.
    stream : TextIO, optional
        Where progress is told; standard error by default.

    Returns
    -------
    tuple
        Claim -> ledger entry, in the order of `names`; and claim -> cause for those that failed.
    """
    entries: dict[str, Entry] = {}
    failed: dict[str, str] = {}
    with environment(SINGLE_THREAD), Progress(len(names), stream or sys.stderr) as progress:
        for (name, *_), result in run_parallel(
            verify or verify_here,
            [(name, profile, seed) for name in names],
            jobs=jobs,
            preload=["pmdlib"],
            timeout=timeout,
            on_start=lambda item: progress.start(item[0]),
            on_tick=progress.tick,
        ):
            if isinstance(result, Lost):
                failed[name] = result.cause
            else:
                _, entries[name] = entry_of(result)
                if problems := failures(name, entries[name]):
                    failed[name] = "; ".join(problems)
            progress.finish(name, f"FAILED, {failed[name]}" if name in failed else "verified")
    return {name: entries[name] for name in names if name in entries}, failed


def verify_here(item: tuple[str, str, int]) -> "dict[str, Any] | Lost":
    """Verify one claim (name, profile, seed) and return its verdict as a dictionary."""
    name, profile, seed = item
    try:
        verdict: dict[str, Any] = (
            import_module("pmdlib").verify(name, profile=profile, seed=seed).to_dict()
        )
    except PmdError as error:
        return Lost(f"{type(error).__name__}: {error}")
    return verdict
