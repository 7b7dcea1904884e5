"""Simulated play in the distancing game: decisions of one agent in a second of one core."""

from statistics import median

import numpy as np
from benchmarks.measuring import Row, seconds

import pmdlib as pmd
from pmdlib.games import catalogue
from pmdlib.learning.feedback import BanditFeedback, MonteCarloFeedback
from pmdlib.learning.simulation import Simulator, play

#: What is asked for of two cores, and so of one: decisions of an agent a second.
GOAL = 5e6 / 2

AGENTS, STEPS, SAMPLES, TRAJECTORIES = 8, 50, 40, 4000


def game_and_policy():
    game = catalogue.distancing(AGENTS)
    return game, pmd.random_policy(game, np.random.default_rng(0))


def plain(repeats: int = 5) -> float:
    """Decisions a second of plays of a fixed length, all rewards and next states looked up."""
    simulator, rng = Simulator(*game_and_policy()), np.random.default_rng(1)
    count = simulator.block

    def run():
        starts = simulator.start(count, rng)
        for _ in play(simulator, starts, rng, continuation=1.0, horizon=STEPS):
            pass

    run()
    return AGENTS * count * STEPS / median(seconds(run) for _ in range(repeats))


def feedback(kind: str, repeats: int = 3) -> float:
    """Decisions a second of whole estimates of averaged Q, plays that end at random."""
    (game, policy), rng = game_and_policy(), np.random.default_rng(1)
    if kind == "roll-outs":
        chosen = MonteCarloFeedback(rng, SAMPLES)
    else:
        chosen = BanditFeedback(rng, TRAJECTORIES, exploration=0.1)
    speeds = []
    for _ in range(repeats + 1):
        chosen.steps = 0
        time = seconds(lambda: chosen.estimate(game, policy))
        speeds.append(AGENTS * chosen.steps / time)
    return median(speeds[1:])


def rows() -> list[Row]:
    found = {
        "plays of the distancing game": plain(),
        "roll-out feedback there": feedback("roll-outs"),
        "bandit feedback there": feedback("bandit"),
    }
    return [
        Row(
            f"{name}, decisions a second on one core",
            f"{speed / 1e6:.1f} million",
            f"at least {GOAL / 1e6:g} million",
            GOAL / speed,
        )
        for name, speed in found.items()
    ]
