"""The adversary: it looks for the instances that come closest to refuting a claim.

``python -m pmdlib.claims.ways.adversary`` searches again and keeps what is worse than the stored
instances.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from flint import fmpq

from pmdlib.analysis import bounds
from pmdlib.arithmetic import Array, rationals, to_float
from pmdlib.claims import broken_assumptions, constant_c, improvement_coupling, regret
from pmdlib.claims.claim import Claim, Instance
from pmdlib.claims.instances import exact_policy
from pmdlib.claims.ways.arena import VANISHING, Arena, descend
from pmdlib.claims.ways.attacks import (
    MEASURES,
    RATIO_DECIMALS,
    exchangeable_euclidean_attack,
    exchangeable_kl_attack,
    first_fall,
    gain_and_move,
    paper_step_attack,
    share,
)
from pmdlib.claims.ways.worst import Attack, load_worst, save_worst, simple
from pmdlib.errors import PmdError
from pmdlib.games import catalogue
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

PROGRESS = next(claim for claim in constant_c.CLAIMS if claim.name == "best-action-progress")
LOG_FORM = next(claim for claim in regret.CLAIMS if claim.name == "regret-kl-log")

#: Attacks on symmetric populations: for each claim, the steps and how to attack N agents there.
SYMMETRIC: dict[str, dict[str, Callable[[int], Attack]]] = {
    "improvement-euclidean": {"paper": lambda n: paper_step_attack(n, "euclidean")},
    "improvement-euclidean-sharp": {
        "ηQmaxΛ = 1": lambda n: exchangeable_euclidean_attack(n, 1),
        "ηQmaxΛ = 2": lambda n: exchangeable_euclidean_attack(n, 2),
        "ηQmaxΛ = 4": lambda n: exchangeable_euclidean_attack(n, 4),
    },
    "improvement-kl": {"paper": lambda n: paper_step_attack(n, "kl")},
    "improvement-kl-constant-step": {
        "ηQmax = 1": lambda n: exchangeable_kl_attack(n, 1),
        "ηQmax = 2": lambda n: exchangeable_kl_attack(n, 2),
    },
    "first-fall-euclidean": {"smallest": lambda n: first_fall(n, "euclidean")},
    "first-fall-kl": {"smallest": lambda n: first_fall(n, "kl")},
}


def tightness_table(claim: str, agents: Sequence[int] = (2, 4, 8, 16, 32, 64)) -> pd.DataFrame:
    """Set what is proved beside what an adversary finds, against the number of agents.

    Parameters
    ----------
    claim : str
        An improvement claim, or "first-fall-kl", "first-fall-euclidean": the smallest ηQmax at
        which the potential falls, beside the largest that is proved safe.
    agents : sequence of int

    Returns
    -------
    DataFrame
        One row for each number of agents and step: ``agents``, ``step``, ``proved``, ``found`` (the
        smallest ratio known in symmetric populations, by this search or a stored one) and
        ``difference``.

    Raises
    ------
    PmdError
        If no attack on that claim is known.
    """
    if claim not in SYMMETRIC:
        raise PmdError(f"no attack on {claim!r} scales with N; there is one on {[*SYMMETRIC]}")
    stored = {attack.case: attack.ratio for attack in load_worst(claim)}
    rows = []
    for step, attack in SYMMETRIC[claim].items():
        for count in agents:
            new = attack(count)
            found = min(new.ratio, stored.get(new.case, np.inf))
            rows.append({"agents": count, "step": step, "proved": new.proved, "found": found})
    return pd.DataFrame(rows).assign(difference=lambda table: table["found"] - table["proved"])


def tensor_attack(
    mirror_map: str,
    num_actions: tuple[int, ...],
    units: float,
    rng: np.random.Generator,
    *,
    starts: int = 8,
) -> Attack:
    """Attack one step in any identical-interest game of one state, not only in symmetric ones.

    Parameters
    ----------
    mirror_map : "kl" or "euclidean"
    num_actions : tuple of int
    units : float
        ηQmax for the KL step, ηQmaxΛ for the Euclidean one.
    rng : numpy.random.Generator
    starts : int
    """
    euclidean = mirror_map == "euclidean"
    q_step = units / (bounds.interaction_norm(num_actions) if euclidean else 1.0)

    def measure(game: TabularGame, policy: Policy) -> float:
        gain, moved = gain_and_move(game, policy, mirror_map, q_step)
        return (gain + VANISHING) / (moved + VANISHING)

    game, policy, _ = descend(Arena(num_actions), measure, rng, starts)
    return Attack(
        claim="improvement-euclidean-sharp" if euclidean else "improvement-kl-constant-step",
        case=f"actions {num_actions}, {'ηQmaxΛ' if euclidean else 'ηQmax'} = {units:g}",
        measure=MEASURES[mirror_map],
        ratio=share(game, policy, mirror_map, q_step),
        proved=1 - units / (4 if euclidean else 2),
        found=f"descent over payoffs and policies from {starts} starts",
        game=game,
        policy=policy,
        extra={"units": fmpq(*float(units).as_integer_ratio())},
    )


def slack_attack(
    claim: Claim, arena: Arena, rng: np.random.Generator, *, starts: int = 8, **extra: Any
) -> Attack:
    """Minimise the slack of a claim, over all of its inequalities, as the claim computes it.

    Parameters
    ----------
    claim : Claim
    arena : Arena
    rng : numpy.random.Generator
    starts : int
    **extra
        What else the claim reads: ``units``, or the number of ``iterations`` of a run.
    """

    def measure(game: TabularGame, policy: Policy) -> float:
        if not all((own > 0).all() for own in policy):
            return np.inf  # rounding took an action away, which the claims want played
        floats, played = game.rounded(), tuple(to_float(own) for own in policy)
        sides = claim.compare(Instance(floats, played, "adversary", extra))
        return min(float(side.slack.min()) for side in sides if side.relation != "==")

    game, policy, ratio = descend(arena, measure, rng, starts)
    states = "state" if arena.num_states == 1 else "states"
    given = "".join(f", {name} = {value}" for name, value in extra.items())
    return Attack(
        claim=claim.name,
        case=f"actions {arena.num_actions}, {arena.num_states} {states}{given}",
        measure="larger side / smaller side",
        ratio=ratio,
        proved=1.0,
        found=f"descent over games and policies from {starts} starts",
        game=game,
        policy=policy,
        extra={name: _exact(value) for name, value in extra.items()},
    )


def _exact(value: float) -> Any:
    return value if isinstance(value, int) else fmpq(*value.as_integer_ratio())


def rare_start_attack(bits: int) -> Attack:
    """Attack the log form of the KL regret: the best of two actions starts at 2^-bits.

    What the sum of advantages has to overcome is log(1/p); all else stays bounded.
    """
    rare, extra = fmpq(1, 2**bits), {"iterations": 2 * bits}
    one = rationals(np.ones((1, 1)), np.ones((1, 1)))
    game = TabularGame(simple([[1, 0]], 0), one, discount=simple([0], 0)[0])
    policy = (np.array([[[rare, 1 - rare]]], dtype=object),)
    floats = Instance(game.rounded(), (to_float(policy[0]),), "adversary", extra)
    slack = min(float(side.slack.min()) for side in LOG_FORM.compare(floats))
    return Attack(
        claim=LOG_FORM.name,
        case=f"rare best action, 2^-{bits}",
        measure="larger side / smaller side",
        ratio=round(slack, RATIO_DECIMALS),
        proved=1.0,
        found="by hand",
        game=game,
        policy=policy,
        extra=extra,
    )


def long_run_attacks() -> Iterator[Attack]:
    """Attack the regret bounds by hand: horizons and runs so long that their powers show.

    One agent in one state with γ = 99/100, where the bounds grow like (1-γ)^(-3/2) and the regret
    like 1/(1-γ); and the needle, one good action of many that starts without mass.
    """
    runs = {
        "regret-kl": (2, 200),
        "regret-kl-constant-step": (2, 100),
        "regret-euclidean": (8, 532),
    }
    for name, (actions, iterations) in runs.items():
        game, start = regret.patient(actions)
        case = f"one agent, {actions} actions, γ = {game.discount}, T = {iterations}"
        yield _by_hand(name, case, game, start[0], iterations)
    needle, start = catalogue.needle().exact(), exact_policy(catalogue.needle_start())
    yield _by_hand("regret-euclidean", "needle, T = 256", needle, start[0], 256)


def _by_hand(name: str, case: str, game: TabularGame, own: Array, iterations: int) -> Attack:
    claim = next(claim for claim in regret.CLAIMS if claim.name == name)
    extra = {"iterations": iterations}
    floats = Instance(game.rounded(), (to_float(own),), "adversary", extra)
    sides = claim.compare(floats)
    slack = min(float(side.slack.min()) for side in sides if side.relation != "==")
    return Attack(
        claim=name,
        case=case,
        measure="larger side / smaller side",
        ratio=round(slack, RATIO_DECIMALS),
        proved=1.0,
        found="by hand",
        game=game,
        policy=(own,),
        extra=extra,
    )


def search(profile: str, rng: np.random.Generator) -> Iterator[Attack]:
    """Search for bad instances of every claim that an adversary knows how to attack.

    Parameters
    ----------
    profile : "quick" or "full"
        How many sizes and starts: seconds or minutes.
    rng : numpy.random.Generator

    Yields
    ------
    Attack
    """
    full = profile == "full"
    starts = 6 if full else 2
    for steps in SYMMETRIC.values():
        for attack in steps.values():
            for count in (2, 8, 32, 64) if full else (2, 8):
                yield attack(count)
    for mirror_map, largest in (("kl", 2), ("euclidean", 4)):
        for num_actions in ((2, 3), (3, 3), (2, 2, 2)) if full else ((2, 2),):
            for units in (1, largest):
                yield tensor_attack(mirror_map, num_actions, units, rng, starts=starts)
    for part in (0.125, 0.5, 1.0):
        yield slack_attack(PROGRESS, Arena((2,)), rng, starts=starts, units=part)
    for claim in (*improvement_coupling.CLAIMS, *broken_assumptions.CLAIMS):
        for arena in (Arena((2, 2)), Arena((2, 2, 2))) if full else (Arena((2, 2)),):
            yield slack_attack(claim, arena, rng, starts=starts // 2, **(claim.attack or {}))
    for bits in (40, 400):
        yield rare_start_attack(bits)
    yield from long_run_attacks()
    runs = [(Arena((2,)), 2)]
    if full:
        runs = [(Arena((2,)), 1), (Arena((2,)), 8), (Arena((3,)), 16), (Arena((2, 2)), 4)]
        runs += [(Arena((2,), num_states=2), 4)]
    for claim in regret.CLAIMS:
        for arena, iterations in runs:
            yield slack_attack(claim, arena, rng, starts=starts // 2, iterations=iterations)


if __name__ == "__main__":
    save_worst(search("full", np.random.default_rng(0)))
