"""Games in which one assumption of the theory fails and all the others hold.

Families that leave the potential games along a line, and small potential games that show what too
large a step, a copied action or a missing action does. Games of one state have discount 0; rows are
agent 1, columns agent 2.
"""

import numpy as np

from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.catalogue import one_state
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame


def _towards(common: Array, opposed: Array, share: float) -> TabularGame:
    """Return (1 - θ) · common interest + θ · (u, 1 - u): a constant-sum game for θ = 1."""
    if not 0 <= share <= 1:
        raise InvalidGameError(f"share is {share}, must be in [0, 1]")
    rewards = [(1 - share) * common + share * own for own in (opposed, 1 - opposed)]
    return TabularGame(
        [own[None] for own in rewards], np.eye(1), discount=0.0, potential=common[None]
    )


def towards_pennies(share: float = 0.25) -> TabularGame:
    """(1 - θ) · coordination + θ · matching pennies, with the potential of θ = 0.

    Agent 1 earns 1 if the two agents do the same. Agent 2 earns 1 - θ then, and θ if they differ.
    Its advantages are 1 - 2θ times those of the common payoff [they do the same]: below θ = 1/2
    this is a *weighted* potential game, a potential game for no θ > 0 (its distance from them is
    θ), and above θ = 1/2 the interests are opposed.

    References
    ----------
    Derived.
    """
    same = np.eye(2)
    return _towards(same, same, share)


def towards_rock_paper_scissors(share: float = 0.25) -> TabularGame:
    """(1 - θ) · coordination of three actions + θ · rock, paper, scissors (win 1, draw 1/2).

    To do the same as the other is a strict equilibrium exactly for θ < 2/3: it pays 1 - θ/2, and
    the best deviation θ. For θ > 0 advantages are not in proportion to those of any potential.

    References
    ----------
    Derived.
    """
    same = np.eye(3)
    beats = np.eye(3)[:, [1, 2, 0]] + same / 2  # rock 0 beats scissors 2, paper 1 beats rock 0
    return _towards(same, beats, share)


def uneven_sides(crowded: float = 0.5) -> TabularGame:
    """Two agents should differ: φ = 1 if they do, ``crowded`` if both play 0, else 0.

    A congestion game with two roads. Both agents at the same mixture stay at the same mixture, and
    one step is a map of an interval. ``crowded`` = 0 is `anti_coordination`.

    References
    ----------
    In the style of the two-agent congestion games in which multiplicative updates are chaotic:
    Palaiopanos, Panageas, Piliouras, "Multiplicative weights update with constant step-size in
    congestion games: convergence, limit cycles and chaos", NeurIPS 2017; the numbers are ours.
    """
    return one_state([[crowded, 1.0], [1.0, 0.0]])


def all_but_one_pair() -> TabularGame:
    """φ = 1 if nobody plays 1, or if agent 3 does so with exactly one of the two others; else 0.

    That is "an even number plays 1" of three agents, without the pair of agents 1 and 2: the
    smallest payoffs of zeros and ones for which a random search found large KL steps that keep a
    whole region of starts away from all equilibria.
    """
    payoff = np.zeros((2, 2, 2))
    payoff[0, 0, 0] = payoff[0, 1, 1] = payoff[1, 0, 1] = 1.0
    return one_state(payoff)


def copied_row() -> TabularGame:
    """`isolated` with its second row twice: every mixture of the copies is the same policy."""
    return one_state([[1.0, 0.3], [0.2, 0.6], [0.2, 0.6]])


def better_row() -> TabularGame:
    """[[3/4, 1], [1/4, 3/4]]: row 1 and column 2 are better whatever the other does.

    Without row 1, (row 2, column 2) is left, where row 1 would pay 1/4 more.
    """
    return one_state([[0.75, 1.0], [0.25, 0.75]])


def better_row_start(probability: float) -> Policy:
    """Agent 1 plays the better row with this probability, which may be 0; agent 2 mixes evenly."""
    return (np.array([[probability, 1 - probability]]), np.array([[0.5, 0.5]]))


def pair_of_mixtures(first: Array, second: Array | None = None) -> Policy:
    """Policies of two agents with two actions, one state: how likely each plays action 1, (...).

    The second agent does as the first if nothing is said of it.
    """
    chances = (first, first if second is None else second)
    return tuple(
        np.stack([1 - own, own], axis=-1)[..., None, :] for own in map(np.asarray, chances)
    )
