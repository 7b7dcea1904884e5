"""What floats pay for exact arithmetic: an iteration with and without the dispatch on entries."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median

import numpy as np
from benchmarks.measuring import Row, duration, seconds

from pmdlib.analysis import equilibrium, policies, values
from pmdlib.games import contraction, profiles, tabular
from pmdlib.games.families import FAMILIES, Shape
from pmdlib.learning import iteration, mirror_maps
from pmdlib.learning import pmd as loop

#: What is asked for: how much slower floats may be.
GOAL = 1.03

#: Iterations of a run that is timed (too few to be compiled), and how many pairs of runs.
ITERATIONS, PAIRS = 60, 40


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
MODULES = (
    values,
    equilibrium,
    policies,
    profiles,
    tabular,
    contraction,
    mirror_maps,
    iteration,
    loop,
)

SHAPES = {
    "3 agents, 3 actions, 4 states": Shape((3, 3, 3), 4, 0.9),
    "6 agents, 3 actions, 3 states": Shape((3,) * 6, 3, 0.9),
}


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


def dispatch(mirror_map: str, shape: Shape, pairs: int = PAIRS) -> tuple[float, float]:
    """Seconds of one iteration, and the median ratio of the time with dispatch to without."""
    game = FAMILIES["shaped"](np.random.default_rng(1), shape)
    run = partial(loop.run_pmd, game, mirror_map, "paper", ITERATIONS, progress=False)
    run()
    with_it, ratios = [], []
    for pair in range(pairs):
        times = {}
        for bare in (True, False) if pair % 2 else (False, True):
            if bare:
                with without_dispatch():
                    times[bare] = seconds(run)
            else:
                times[bare] = seconds(run)
        with_it.append(times[False])
        ratios.append(times[False] / times[True])
    return median(with_it) / ITERATIONS, median(ratios)


def rows() -> list[Row]:
    found = []
    for mirror_map in ("kl", "euclidean"):
        for text, shape in SHAPES.items():
            time, ratio = dispatch(mirror_map, shape)
            found.append(
                Row(
                    f"floats over bare floats, {mirror_map}, {text}",
                    f"×{ratio:.3f} ({duration(time)})",
                    f"×{GOAL}",
                    ratio / GOAL,
                )
            )
    return found
