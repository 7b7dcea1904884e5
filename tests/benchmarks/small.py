"""Small games: a run against the script that everybody writes, and many starts at once."""

from functools import partial

import numpy as np
from benchmarks.measuring import Row, compared, duration

import pmdlib as pmd
from pmdlib.arithmetic import machine_code
from pmdlib.games import catalogue

ACTIONS, ITERATIONS, STEP = (3, 4, 5), 5000, 0.1
BATCH, BATCH_ITERATIONS = 256, 100

#: What is asked for: a run over the script; microseconds for each start of a batch and iteration.
SCRIPT_GOAL, BATCH_GOAL = 1 / 5, 5.0


def payoff() -> np.ndarray:
    return np.random.default_rng(0).random(ACTIONS)


# The script: one einsum for each agent and iteration, the gap recorded.


def project(point):
    ordered = np.sort(point)[::-1]
    excess = np.cumsum(ordered) - 1
    size = np.arange(1, len(point) + 1)
    support = ordered - excess / size > 0
    return np.maximum(point - excess[support][-1] / size[support][-1], 0)


def softmax_step(own, q):
    weights = own * np.exp(STEP * (q - q.max()))
    return weights / weights.sum()


def script(reward, mirror_map, iterations=ITERATIONS):
    policy = [np.ones(m) / m for m in reward.shape]
    gaps = np.zeros((iterations, len(policy)))
    for t in range(iterations):
        x, y, z = policy
        q = [
            np.einsum("abc,b,c->a", reward, y, z),
            np.einsum("abc,a,c->b", reward, x, z),
            np.einsum("abc,a,b->c", reward, x, y),
        ]
        for i in range(3):
            gaps[t, i] = q[i].max() - policy[i] @ q[i]
        if mirror_map == "kl":
            policy = [softmax_step(own, own_q) for own, own_q in zip(policy, q, strict=True)]
        else:
            policy = [project(own + STEP * own_q) for own, own_q in zip(policy, q, strict=True)]
    return gaps.max(axis=1)


def over_script(mirror_map: str, pairs: int = 5, *, first: bool = False) -> tuple[float, float]:
    """Seconds of a run, and its ratio to the script's; both find the same gaps.

    With ``first`` nothing is compiled yet whenever a run is timed.
    """
    reward = payoff()
    game = catalogue.one_state(reward)

    def run():
        if first:
            machine_code._compile.cache_clear()
        return pmd.run_pmd(game, mirror_map, STEP, ITERATIONS, progress=False)

    np.testing.assert_allclose(run().nash_gap, script(reward, mirror_map), atol=1e-9)
    return compared(run, partial(script, reward, mirror_map), pairs)


def batch(mirror_map: str, pairs: int = 5) -> float:
    """Seconds for each start and iteration of a batch."""
    game, rng = catalogue.one_state(payoff()), np.random.default_rng(1)
    starts = tuple(rng.dirichlet(np.ones(m), (BATCH, 1)) for m in ACTIONS)
    run = partial(pmd.run_pmd, game, mirror_map, STEP, BATCH_ITERATIONS, starts, progress=False)
    return compared(run, payoff, pairs)[0] / BATCH / BATCH_ITERATIONS


def rows() -> list[Row]:
    found = []
    for mirror_map in ("kl", "euclidean"):
        time, ratio = over_script(mirror_map)
        first, first_ratio = over_script(mirror_map, first=True)
        each = 1e6 * batch(mirror_map)
        found += [
            Row(
                f"run over a script's, {mirror_map}, 3 × 4 × 5 game, {ITERATIONS} iterations",
                f"×{ratio:.3f} ({duration(time)}; script {duration(time / ratio)})",
                f"×{SCRIPT_GOAL:g}",
                ratio / SCRIPT_GOAL,
            ),
            Row("— the first time, compiled for it", f"×{first_ratio:.3f} ({duration(first)})"),
            Row(
                f"each of {BATCH} starts at once, {mirror_map}, an iteration of this game",
                f"{each:.2f} µs",
                f"{BATCH_GOAL:g} µs",
                each / BATCH_GOAL,
            ),
        ]
    return found
