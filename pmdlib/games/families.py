"""Random Markov potential games, potential by construction: four families and hard cases.

Each family is a function of a generator and of the sizes, and states its potential φ in [0, 1] (or
shifted there by `TabularGame`). Why each is a Markov potential game is said in its docstring.

All draws are multiples of small powers of two, discounts included, so that rewards are computed
without rounding: a game is a potential game as the rationals that its floats are, exactly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError
from pmdlib.games.tabular import TabularGame


@dataclass(frozen=True)
class Shape:
    """Sizes and hardness of a random game.

    Attributes
    ----------
    num_actions : tuple of int
        |A_i|, one entry per agent; they may differ.
    num_states : int
    discount : float in [0, 1)
    kernel_concentration : float > 0
        Dirichlet parameter of the next-state distributions: small is nearly deterministic.
    zero_one : bool
        Potential values 0 or 1 only, in place of uniform on [0, 1]; in congestion games a facility
        pays all or nothing.
    point_start : bool
        Start in state 0 with probability one, in place of a random distribution.
    """

    num_actions: tuple[int, ...]
    num_states: int
    discount: float
    kernel_concentration: float = 1.0
    zero_one: bool = False
    point_start: bool = False


def identical_interest(rng: np.random.Generator, shape: Shape) -> TabularGame:
    """Every agent receives the potential: V_i = Φ, whatever the kernel does.

    ``shape`` gives its sizes.
    """
    return TabularGame(
        _stage_potential(rng, shape),
        _joint_kernel(rng, shape),
        discount=shape.discount,
        initial=_initial(rng, shape),
    )


def congestion(rng: np.random.Generator, shape: Shape) -> TabularGame:
    """Draw a congestion game per state and an exogenous kernel.

    Every action is a set of facilities; a facility pays each user an amount that depends on the
    state and on its load. Rosenthal's potential Σ_f Σ_{k <= load} pay(f, k) is exact in every
    stage game, and no action moves the state, so it adds up to a Markov potential.
    """
    states, agents = shape.num_states, len(shape.num_actions)
    facilities = max(2, max(shape.num_actions) // 2 + 1)
    pay = rng.random((states, facilities, agents + 1))
    largest = 0.5 ** np.ceil(np.log2(agents * facilities))  # all loads together pay at most 1
    pay = largest * (np.round(pay) if shape.zero_one else _dyadic(pay))
    pay[..., 0] = 0.0
    uses = [rng.random((m, facilities)) < 0.5 for m in shape.num_actions]
    for table in uses:
        table[np.arange(len(table)), rng.integers(facilities, size=len(table))] = True
    if shape.zero_one:  # a facility in use pays, so that no potential is constant 0
        pay[0, uses[0][0].argmax(), 1] = largest
    joint = np.indices(shape.num_actions)
    taken = [table[own] for table, own in zip(uses, joint, strict=True)]
    load = np.sum(taken, axis=0)
    paid = np.stack([pay[:, f, load[..., f]] for f in range(facilities)], axis=-1)
    rosenthal = np.stack(
        [np.cumsum(pay[:, f], axis=-1)[:, load[..., f]] for f in range(facilities)], axis=-1
    )
    return TabularGame(
        [(paid * own).sum(axis=-1) for own in taken],
        _state_kernel(rng, shape),
        discount=shape.discount,
        initial=_initial(rng, shape),
        potential=rosenthal.sum(axis=-1),
    )


def shaped(rng: np.random.Generator, shape: Shape) -> TabularGame:
    """Potential-based shaping r_i = φ + h_i(s) - γ E h_i(s'): V_i = Φ + h_i telescopes."""
    potential, kernel = _stage_potential(rng, shape), _joint_kernel(rng, shape)
    column = (slice(None), *[None] * len(shape.num_actions))
    rewards = []
    for _ in shape.num_actions:
        bonus = _dyadic(rng.normal(size=shape.num_states))
        rewards.append(potential + bonus[column] - shape.discount * kernel @ bonus)
    return TabularGame(
        rewards,
        kernel,
        discount=shape.discount,
        initial=_initial(rng, shape),
        potential=potential,
    )


def dummy(rng: np.random.Generator, shape: Shape) -> TabularGame:
    """Add dummy terms to the potential, r_i = φ + u_i(s, a_-i); the kernel is exogenous.

    Agent i cannot influence u_i now, nor later because no action moves the state.
    """
    potential = _stage_potential(rng, shape)
    rewards = []
    for agent in range(len(shape.num_actions)):
        others = list(potential.shape)
        others[1 + agent] = 1
        rewards.append(potential + _dyadic(rng.normal(size=others)))
    return TabularGame(
        rewards,
        _state_kernel(rng, shape),
        discount=shape.discount,
        initial=_initial(rng, shape),
        potential=potential,
    )


Family = Callable[[np.random.Generator, Shape], TabularGame]

#: The families by name.
FAMILIES: dict[str, Family] = {
    "identical-interest": identical_interest,
    "congestion": congestion,
    "shaped": shaped,
    "dummy": dummy,
}


def random_shape(
    rng: np.random.Generator,
    *,
    max_agents: int = 6,
    max_states: int = 6,
    max_actions: int = 5,
    max_joint_actions: int = 1500,
    discounts: Sequence[float] = (0.0, 1 / 2, 29 / 32, 63 / 64),
) -> Shape:
    """Draw sizes (ragged action sets) and hardness; two thirds of the draws are hard cases.

    ``max_agents``, ``max_states``, ``max_actions`` (of one agent) and ``max_joint_actions`` are
    upper limits; ``discounts`` are drawn from with equal chances.
    """
    while True:
        agents = int(rng.integers(1, max_agents, endpoint=True))
        actions = tuple(int(m) for m in rng.integers(2, max_actions, size=agents, endpoint=True))
        if np.prod(actions) <= max_joint_actions:
            break
    return Shape(
        num_actions=actions,
        num_states=int(rng.integers(1, max_states, endpoint=True)),
        discount=float(rng.choice(np.asarray(discounts))),
        kernel_concentration=float(rng.choice([1.0, 1.0, 0.02])),
        zero_one=bool(rng.random() < 1 / 3),
        point_start=bool(rng.random() < 1 / 4),
    )


def random_game(
    rng: np.random.Generator, family: str | None = None, shape: Shape | None = None
) -> TabularGame:
    """Draw a Markov potential game.

    Parameters
    ----------
    rng : numpy.random.Generator
    family : str, optional
        A name in `FAMILIES`; a random one by default.
    shape : Shape, optional
        Sizes and hardness; `random_shape` by default.

    Returns
    -------
    TabularGame

    Raises
    ------
    InvalidGameError
        If there is no such family.
    """
    name = str(rng.choice(list(FAMILIES))) if family is None else family
    if name not in FAMILIES:
        raise InvalidGameError(f"family is {name!r}, must be one of {sorted(FAMILIES)}")
    return FAMILIES[name](rng, random_shape(rng) if shape is None else shape)


#: Random numbers are multiples of one over this: discount (6 bits), probability and shaping term
#: (10 bits each) multiply and add up within the 53 bits of a float.
GRID = 1024


def _dyadic(table: Array) -> Array:
    return np.asarray(np.round(table * GRID) / GRID)


def _stage_potential(rng: np.random.Generator, shape: Shape) -> Array:
    size = (shape.num_states, *shape.num_actions)
    table = _dyadic(rng.random(size))
    if shape.zero_one:
        table = np.round(table)
    table.flat[rng.integers(table.size)] = 1.0  # so that φmax = 1 and no potential is constant 0
    return table


def _joint_kernel(rng: np.random.Generator, shape: Shape) -> Array:
    return _distributions(
        rng, (shape.num_states, *shape.num_actions, shape.num_states), shape.kernel_concentration
    )


def _state_kernel(rng: np.random.Generator, shape: Shape) -> Array:
    return _distributions(rng, (shape.num_states, shape.num_states), shape.kernel_concentration)


def _initial(rng: np.random.Generator, shape: Shape) -> Array:
    if shape.point_start:
        return np.asarray(np.eye(shape.num_states)[0])
    return _distributions(rng, (shape.num_states,), 1.0)


def _distributions(rng: np.random.Generator, size: tuple[int, ...], concentration: float) -> Array:
    """Dirichlet draws, rounded to `GRID`; many entries may be zero, which kernels may have."""
    weights = rng.standard_gamma(concentration, size)
    # With a tiny concentration every weight of a row may underflow: such a row becomes one state.
    lost = weights.sum(axis=-1) <= np.finfo(float).tiny
    weights[lost, 0] = 1.0
    # Rounding the cumulated weights keeps every sum at exactly one.
    cumulated = _dyadic(weights.cumsum(axis=-1) / weights.sum(axis=-1, keepdims=True))
    return np.diff(cumulated, axis=-1, prepend=0.0)
