"""Dense games: one iteration against reading the tensor once, einsum for each agent, memory."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
from benchmarks.measuring import (
    Row,
    afresh,
    compared,
    compared_afresh,
    duration,
    peak_memory,
    seconds,
)

import pmdlib as pmd

AGENTS, STATES = 20, 4

#: What is asked for: an iteration over one reading; peak memory over the game's own tensors.
ITERATION_GOAL, MEMORY_GOAL = 1.5, 1.5

#: Iterations of a timed run, whose end is one reading more.
ITERATIONS = 60


@cache
def game(agents: int = AGENTS) -> pmd.TabularGame:
    """Agents of 2 actions, 4 states, one reward tensor (32 MiB for 20), exogenous kernel."""
    rng = np.random.default_rng(0)
    rewards = rng.random((STATES, *(2,) * agents))
    return pmd.TabularGame(rewards, rng.dirichlet(np.ones(STATES), STATES), discount=0.9)


@cache
def game_of_own_rewards() -> pmd.TabularGame:
    """8 agents of 5 actions, 2 states, a reward tensor for each (48 MiB in all), exogenous."""
    rng = np.random.default_rng(0)
    rewards = [rng.random((2, *(5,) * 8)) for _ in range(8)]
    return pmd.TabularGame(rewards, rng.dirichlet(np.ones(2), 2), discount=0.9)


def read_once(played: pmd.TabularGame) -> Callable[[], object]:
    """Return the fastest of several ways to read all rewards once; which, is measured."""
    flat = (played.rewards[0] if played.identical_interest else played.rewards).reshape(-1)
    ways = [flat.max, flat.sum, partial(np.vdot, flat, flat)]
    return min(ways, key=lambda way: min(seconds(way) for _ in range(7)))


def multiply(played: pmd.TabularGame) -> Callable[[], object]:
    """Return one product of the tensor, as a square table, with a vector."""
    table = played.rewards[0].reshape(-1, 2 ** (played.num_agents // 2))
    return partial(np.matmul, table, np.random.default_rng(0).random(table.shape[1]))


def iteration(played: pmd.TabularGame, reference: Callable = read_once) -> tuple[float, float]:
    """Seconds of one iteration, and its ratio to reading the rewards once."""
    run = partial(pmd.run_pmd, played, "kl", 0.1, ITERATIONS, progress=False)
    time, ratio = compared(run, reference(played))
    return time / ITERATIONS, ratio / ITERATIONS


def random_policy() -> Sequence[np.ndarray]:
    return pmd.random_policy(game(), np.random.default_rng(1))


def averages() -> tuple[float, float]:
    """Seconds of the averages of all agents, and their ratio to reading the tensor once."""
    return compared(partial(game().average_rewards, random_policy()), read_once(game()))


def over_einsums(optimize: str | bool) -> tuple[float, float]:
    """Seconds of one einsum for each agent, and the ratio of all averages at once to them.

    One agent in the middle stands for all. The order of an optimised contraction is given.
    """
    policy, middle = random_policy(), AGENTS // 2
    operands = [game().rewards[0], [*range(AGENTS + 1)]]
    for other in range(AGENTS):
        if other != middle:
            operands += [policy[other], [0, 1 + other]]
    operands.append([0, 1 + middle])
    path = np.einsum_path(*operands, optimize=optimize)[0] if optimize else False
    found = np.einsum(*operands, optimize=path)
    np.testing.assert_allclose(found, game().average_rewards(policy)[middle], rtol=1e-9)
    each = min(seconds(lambda: np.einsum(*operands, optimize=path)) for _ in range(2))
    together = min(seconds(lambda: game().average_rewards(policy)) for _ in range(9))
    return AGENTS * each, together / AGENTS / each


def peak(agents: int = 22) -> float:
    """Peak memory of building a game and running it, over its own tensors.

    To be asked in a fresh process; a small game warms it up.
    """
    rng = np.random.default_rng(0)
    moves = rng.dirichlet(np.ones(STATES), STATES)

    def build_and_run(rewards: np.ndarray) -> int:
        built = pmd.TabularGame(rewards, moves, discount=0.9)
        pmd.run_pmd(built, "kl", "paper", 2, progress=False)
        return built.rewards[0].nbytes

    build_and_run(rng.random((STATES, *(2,) * 18)))
    given = rng.random((STATES, *(2,) * agents))
    before = peak_memory()
    own = build_and_run(given)
    after = peak_memory()
    return (after - before) / own


def rows() -> list[Row]:
    time, ratio = compared_afresh("dense.iteration(dense.game())")
    _, product_ratio = compared_afresh("dense.iteration(dense.game(), dense.multiply)")
    more, more_ratio = compared_afresh(f"dense.iteration(dense.game({AGENTS + 2}))")
    own, own_ratio = compared_afresh("dense.iteration(dense.game_of_own_rewards())")
    part, part_ratio = compared_afresh("dense.averages()")
    plain, plain_ratio = over_einsums(False)
    best, best_ratio = over_einsums("greedy")
    memory = afresh("dense.peak()")
    return [
        Row(
            f"dense iteration over one reading, {AGENTS} agents of 2 actions, {STATES} states",
            f"×{ratio:.2f} ({duration(time)}; reading {duration(time / ratio)})",
            f"×{ITERATION_GOAL}",
            ratio / ITERATION_GOAL,
        ),
        Row("— over one product of NumPy with a vector", f"×{product_ratio:.2f}"),
        Row(f"— over one reading, {AGENTS + 2} agents", f"×{more_ratio:.2f} ({duration(more)})"),
        Row(
            "— over one reading, 8 agents of 5 actions with rewards of their own",
            f"×{own_ratio:.2f} ({duration(own)})",
        ),
        Row("— averages of all agents over one reading", f"×{part_ratio:.2f} ({duration(part)})"),
        Row(
            "— these over an einsum for each agent",
            f"1/{1 / plain_ratio:.0f} (einsums {duration(plain)})",
        ),
        Row(
            "— these over einsums in optimised order",
            f"1/{1 / best_ratio:.1f} (einsums {duration(best)})",
        ),
        Row(
            "peak memory over the game's tensors, building and running it",
            f"×{memory:.2f}",
            f"×{MEMORY_GOAL}",
            memory / MEMORY_GOAL,
        ),
    ]
