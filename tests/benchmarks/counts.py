"""Games seen through counts: how time grows with the number of agents, and the memory of many."""

from collections.abc import Callable
from functools import partial

import numpy as np
from benchmarks.measuring import Row, afresh, duration, peak_memory, repeats, seconds

import pmdlib as pmd
from pmdlib.games.aggregative import CongestionGame
from pmdlib.games.loads import average_over_load

#: What is asked for: the exponent of the time from the smallest number of agents to the largest;
#: peak memory of the largest, in GB.
EXPONENT_GOAL, MEMORY_GOAL = 1.15, 4.0

AGENTS = (10**3, 10**4, 10**5, 10**6)

#: Facilities of the game, and iterations of a timed run.
FACILITIES, ITERATIONS = 4, 2

#: Rounds in which every size is timed once; the fastest of each size counts.
ROUNDS = 3


def average(agents: int) -> Callable[[], object]:
    """Return the action to be timed: averages where each agent has a probability of its own."""
    rng = np.random.default_rng(0)
    table = np.sqrt(np.arange(agents) / agents)[None]
    probabilities, counts = rng.random(agents), np.ones(agents, dtype=int)
    return partial(average_over_load, table, probabilities, counts)


def run(agents: int) -> Callable[[], object]:
    """Return the action to be timed: a run of a congestion game in which no agents are alike."""
    widths = np.linspace(1, 2, FACILITIES)
    payoffs = -widths[None, :, None] * np.sqrt(np.arange(1, agents + 1) / agents)
    game = CongestionGame(payoffs, agents)
    start = pmd.random_policy(game, np.random.default_rng(0))
    return partial(pmd.run_pmd, game, "kl", 0.1, ITERATIONS, start, progress=False)


def times(make: Callable[[int], Callable[[], object]], rounds: int = ROUNDS) -> list[float]:
    """Seconds for each number of agents."""
    actions = [make(agents) for agents in AGENTS]
    many = [repeats(action) for action in actions]
    measured = [
        [seconds(action, count) for action, count in zip(actions, many, strict=True)]
        for _ in range(rounds)
    ]
    return np.min(measured, axis=0).tolist()


def exponent(measured: list[float]) -> float:
    """Slope of the logarithm of the time over that of the number of agents."""
    return float(np.polyfit(np.log(AGENTS), np.log(measured), 1)[0])


def peak(agents: int = AGENTS[-1]) -> float:
    """Peak memory of this process, in GB, after a run."""
    run(agents)()
    return peak_memory() / 1e9


def rows() -> list[Row]:
    whole, part = times(run), times(average)
    memory = afresh("counts.peak()")
    slope = exponent(whole)
    text = ", ".join(duration(time / ITERATIONS) for time in whole)
    return [
        Row(
            "exponent of an iteration in N, congestion, N = 1 000 to 1 000 000 unlike agents",
            f"{slope:.2f} ({text})",
            f"{EXPONENT_GOAL}",
            slope / EXPONENT_GOAL,
        ),
        Row(
            "— of averages over one load alone",
            f"{exponent(part):.2f} ({', '.join(map(duration, part))})",
        ),
        Row(
            "peak memory of the process, 1 000 000 unlike agents",
            f"{memory:.2f} GB",
            f"{MEMORY_GOAL:g} GB",
            memory / MEMORY_GOAL,
        ),
    ]
