"""What exact checks cost, and what floats pay for them: `make bench`, on one core.

Times are of the processor, not of the clock, and what is compared is measured in turn, so that
other work on the machine disturbs little.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from time import process_time

import numpy as np

import pmdlib as pmd
from pmdlib.analysis import equilibrium, policies, values
from pmdlib.claims.checking import WAYS
from pmdlib.claims.claim import Instance
from pmdlib.claims.instances import mixed_policies
from pmdlib.claims.ways.certifying import Account
from pmdlib.games import tabular
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.learning import mirror_maps
from pmdlib.learning import pmd as loop
from pmdlib.workspace.tables import columns

#: What is asked for: seconds for 200 certified instances; how much slower floats may be.
CERTIFIED_GOAL, DISPATCH_GOAL = 60.0, 1.03

#: Iterations of a run that is timed, and how many pairs of runs.
ITERATIONS, PAIRS = 60, 40


def seconds(action: Callable[[], object]) -> float:
    """Processor time of one call."""
    begin = process_time()
    action()
    return process_time() - begin


# Certified instances


def certified(count: int = 200) -> float:
    """Seconds to certify improvement-kl on games of 3 agents, 3 actions each, 3 states."""
    rng, claim, account = np.random.default_rng(0), pmd.claims["improvement-kl"], Account()
    discounts = (0.0, 1 / 2, 29 / 32, 63 / 64)

    def check() -> None:
        for number in range(count):
            make = list(FAMILIES.values())[number % len(FAMILIES)]
            game = make(rng, Shape((3, 3, 3), 3, discounts[number // len(FAMILIES) % 4]))
            deviation = (0, policies.random_policy(game, rng)[0])
            drawn = Instance(game, mixed_policies(game, rng), "bench", {"deviation": deviation})
            account.check(claim, drawn.exact(number % drawn.count))

    spent = seconds(check)
    if account.decided != count or account.failures:
        raise SystemExit(f"the benchmark is no check: {account.report()}")
    return spent


# The float path with and without dispatch


def _log(table):
    with np.errstate(divide="ignore"):
        return np.log(table)


def _log_normalise(logs):
    logs = logs - logs.max(axis=-1, keepdims=True)
    return logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))


#: The expressions that the dispatching functions stand for, on floats.
BARE = {
    "argmax": lambda table: table.argmax(axis=-1),
    "certainly_negative": lambda table: table < 0,
    "exp": np.exp,
    "eye": lambda size, like: np.eye(size),
    "is_exact": lambda array: False,
    "largest": lambda table, axis=-1, *, keepdims=False: table.max(axis=axis, keepdims=keepdims),
    "largest_entries": lambda table, gap: table >= table.max(axis=-1, keepdims=True) - gap,
    "log": _log,
    "log_normalise": _log_normalise,
    "maximum": np.maximum,
    "not_finite": lambda table: ~np.isfinite(table),
    "smallest": lambda table, axis=-1, *, keepdims=False: table.min(axis=axis, keepdims=keepdims),
    "solve": np.linalg.solve,
    "sort": partial(np.sort, axis=-1),
    "to_float": lambda array: array,
}

#: The modules through which an iteration goes.
MODULES = (values, equilibrium, policies, tabular, mirror_maps, loop)


@contextmanager
def without_dispatch() -> Iterator[None]:
    """Put the bare expressions in place of the functions of `pmdlib.arithmetic`."""
    found = [(m, name, getattr(m, name)) for m in MODULES for name in BARE if hasattr(m, name)]
    for module, name, _ in found:
        setattr(module, name, BARE[name])
    try:
        yield
    finally:
        for module, name, function in found:
            setattr(module, name, function)


def dispatch(mirror_map: str, shape: Shape) -> tuple[float, float]:
    """Microseconds of one iteration, and the median ratio of the time with dispatch to without."""
    game = FAMILIES["shaped"](np.random.default_rng(1), shape)
    run = partial(loop.run_pmd, game, mirror_map, "paper", ITERATIONS, progress=False)
    run()
    with_it, ratios = [], []
    for pair in range(PAIRS):
        times = {}
        for bare in (True, False) if pair % 2 else (False, True):
            if bare:
                with without_dispatch():
                    times[bare] = seconds(run)
            else:
                times[bare] = seconds(run)
        with_it.append(times[False])
        ratios.append(times[False] / times[True])
    return 1e6 * median(with_it) / ITERATIONS, median(ratios)


SHAPES = {
    "3 agents, 3 actions, 4 states": Shape((3, 3, 3), 4, 0.9),
    "6 agents, 3 actions, 3 states": Shape((3,) * 6, 3, 0.9),
}


# The claims


def ways() -> list[list[str]]:
    """Seconds that each way of checking takes, a row for each claim."""
    rows, names = [], ["numeric", "exact", "symbolic", "interval", "adversarial"]
    for name, claim in pmd.claims.items():
        row = [name]
        for way in WAYS:
            begin = process_time()
            evidence = way(claim, np.random.default_rng(0), "quick", None)
            row.append("–" if evidence is None else f"{process_time() - begin:.2f}")
        rows.append(row)
    return [["claim, quick profile", *(f"{name} [s]" for name in names)], *rows]


def main() -> None:
    """Print what was measured beside what was asked for."""
    spent = certified()
    rows = [["benchmark", "measured", "goal", "measured / goal"]]
    rows.append(
        [
            "200 certified instances of improvement-kl, N = S = A = 3",
            f"{spent:.1f} s",
            f"{CERTIFIED_GOAL:.0f} s",
            f"{spent / CERTIFIED_GOAL:.2f}",
        ]
    )
    for mirror_map in ("kl", "euclidean"):
        for text, shape in SHAPES.items():
            micro, ratio = dispatch(mirror_map, shape)
            rows.append(
                [
                    f"float iteration over the bare one, {mirror_map}, {text}",
                    f"×{ratio:.3f} ({micro:.0f} µs)",
                    f"×{DISPATCH_GOAL}",
                    f"{ratio / DISPATCH_GOAL:.2f}",
                ]
            )
    sys.stdout.write(f"{columns(rows)}\n\n")
    sys.stdout.flush()
    sys.stdout.write(f"{columns(ways())}\n")


if __name__ == "__main__":
    main()
