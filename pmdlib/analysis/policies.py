"""Product policies: how to make them, and how to check one that came from outside."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pmdlib.arithmetic import (
    Array,
    certainly_negative,
    exact_rows,
    eye,
    is_exact,
    not_finite,
    rationals,
    to_exact,
    to_float,
)
from pmdlib.errors import InvalidPolicyError
from pmdlib.games.checks import SUM_TOLERANCE
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import Profile, Roster


def uniform_policy(game: MarkovGame) -> Policy:
    """Return the policy that plays every action with the same probability: N arrays (S, A_i).

    Examples
    --------
    >>> game = pmd.TabularGame(np.zeros((2, 2, 4)), np.eye(2), discount=0.5)
    >>> [own.tolist() for own in pmd.uniform_policy(game)]
    [[[0.5, 0.5], [0.5, 0.5]], [[0.25, 0.25, 0.25, 0.25], [0.25, 0.25, 0.25, 0.25]]]
    """

    def uniform(actions: int) -> Array:
        shape = (game.num_states, actions)
        if is_exact(game.initial):
            return rationals(np.ones(shape), np.full(shape, actions))
        return np.full(shape, 1 / actions)

    if not game.populations:
        return tuple(uniform(actions) for actions in game.num_actions)
    return Profile(
        [uniform(actions)[None] for _, actions in _kinds(game)], Roster.alike(game.populations)
    )


def _kinds(game: MarkovGame) -> Iterator[tuple[int, int]]:
    """Size of each population of a game, and how many actions its agents have."""
    first = 0
    for size in game.populations:
        yield size, game.num_actions[first]
        first += size


def random_policy(
    game: MarkovGame,
    rng: np.random.Generator,
    *,
    concentration: float = 1.0,
    batch: tuple[int, ...] = (),
) -> Policy:
    """Draw a product policy with full support, independently for each agent and state.

    Parameters
    ----------
    game : MarkovGame
    rng : numpy.random.Generator
    concentration : float > 0
        Parameter of the symmetric Dirichlet distribution: 1 is uniform on the simplex, small
        values (such as 0.05) give policies near the vertices.
    batch : tuple of int
        Leading batch axes: that many policies at once.

    Returns
    -------
    tuple of N arrays (*batch, S, A_i), every entry positive.

    Raises
    ------
    InvalidPolicyError
        If the concentration is not positive and finite.

    Examples
    --------
    A batch of policies is one call, and so is what is computed of them:

    >>> game = pmd.TabularGame(np.array([[[1.0, 0.3], [0.2, 0.6]]]), np.eye(1), discount=0.0)
    >>> policy = pmd.random_policy(game, np.random.default_rng(0), batch=(1000,))
    >>> [own.shape for own in policy], pmd.nash_gap(game, policy).shape
    ([(1000, 1, 2), (1000, 1, 2)], (1000,))
    """
    if not 0 < concentration < np.inf:
        raise InvalidPolicyError(f"concentration is {concentration}, must be positive and finite")

    def draw(leading: tuple[int, ...], actions: int) -> Array:
        return _positive_dirichlet(rng, concentration, (*leading, game.num_states, actions))

    if not game.populations:
        return tuple(draw(batch, actions) for actions in game.num_actions)
    return Profile(
        [draw((size, *batch), actions) for size, actions in _kinds(game)],
        Roster.apart(game.populations),
    )


def _positive_dirichlet(
    rng: np.random.Generator, concentration: float, shape: tuple[int, ...]
) -> Array:
    """Sample in the log domain, so that small concentrations do not underflow to zero.

    A gamma variate of shape α is one of shape α + 1 times U^(1/α).
    """
    log_gamma = np.log(rng.standard_gamma(concentration + 1, shape))
    log_gamma += np.log1p(-rng.random(shape)) / concentration
    log_gamma -= log_gamma.max(axis=-1, keepdims=True)
    weights = np.exp(np.maximum(log_gamma, -300.0))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def random_rational_policy(
    game: MarkovGame, rng: np.random.Generator, *, largest: int = 9
) -> Policy:
    """Draw a policy of exact rationals: integer weights 1..largest, normalised; N arrays (S, A_i).

    Weights differ from state to state: tests of a Markov potential that use one mixture in every
    state miss games whose kernel is at fault.
    """
    policy = []
    for actions in game.num_actions:
        weights = rng.integers(1, largest, size=(game.num_states, actions), endpoint=True)
        policy.append(
            rationals(weights, np.broadcast_to(weights.sum(-1, keepdims=True), weights.shape))
        )
    return tuple(policy)


def deterministic_policy(game: MarkovGame, actions: Sequence[Sequence[int]]) -> Policy:
    """Return the policy in which agent i plays ``actions[i][s]`` in state s.

    Raises
    ------
    InvalidPolicyError
        If an action does not exist, or the nesting does not match agents and states.

    Examples
    --------
    >>> game = pmd.TabularGame(np.zeros((2, 2, 3)), np.eye(2), discount=0.5)
    >>> [own.tolist() for own in pmd.deterministic_policy(game, [[0, 1], [2, 0]])]
    [[[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]]
    """
    if len(actions) != game.num_agents:
        raise InvalidPolicyError(
            f"actions name {len(actions)} agents, the game has {game.num_agents}"
        )
    policy = []
    for agent, (chosen, count) in enumerate(zip(actions, game.num_actions, strict=True)):
        if len(chosen) != game.num_states:
            raise InvalidPolicyError(
                f"actions[agent={agent}] names {len(chosen)} states, the game has {game.num_states}"
            )
        for state, action in enumerate(chosen):
            if not 0 <= action < count:
                raise InvalidPolicyError(
                    f"actions[agent={agent}][s={state}] is {action}, must be in 0..{count - 1}"
                )
        policy.append(np.eye(count)[np.asarray(chosen)])
    return tuple(policy)


def pure_policy(game: MarkovGame, actions: Array) -> tuple[Array, ...]:
    """Return the deterministic policies (..., S, A_i) that play actions (N, ..., S), unchecked.

    They are in the arithmetic of the game; `deterministic_policy` is for what comes from outside.
    """
    pairs = zip(game.num_actions, actions, strict=True)
    return tuple(np.asarray(eye(count, game.initial)[own]) for count, own in pairs)


def replace(policy: Policy, agent: int, own: Array) -> tuple[Array, ...]:
    """Return ``policy`` with agent's own part exchanged: (π_i', π_-i)."""
    return (*policy[:agent], own, *policy[agent + 1 :])


def check_agent(game: MarkovGame, agent: int) -> int:
    """Check that an agent's index exists; raises InvalidPolicyError."""
    if agent not in range(game.num_agents):
        raise InvalidPolicyError(f"agent is {agent}, must be in 0..{game.num_agents - 1}")
    return agent


def check_policy(game: MarkovGame, policy: Sequence[Array], *, name: str = "policy") -> Policy:
    """Check a policy against its game and return it as a tuple of arrays.

    Parameters
    ----------
    game : MarkovGame
    policy : sequence of N arrays (..., S, A_i)
        Leading batch axes must be the same for all agents. In a game of one population it may be
        one array (N, ..., S, A).
    name : str
        What to call it in errors.

    Returns
    -------
    tuple of N arrays (..., S, A_i), in the arithmetic of the game, see `in_arithmetic_of`.

    Raises
    ------
    InvalidPolicyError
        Naming agent, state, value and requirement.
    """
    given: Any = policy
    if isinstance(given, np.ndarray) and given.ndim > 2 and game.populations == (len(given),):
        policy = Profile([given], Roster.apart(game.populations))
    if not isinstance(policy, (tuple, list, Profile)) or len(policy) != game.num_agents:
        length = f" of length {len(policy)}" if hasattr(policy, "__len__") else ""
        raise InvalidPolicyError(
            f"{name} must be a sequence of N = {game.num_agents} arrays (S, A_i), "
            f"one per agent, not {type(policy).__name__}{length}"
        )
    if isinstance(policy, Profile) and game.populations:
        return _check_profile(game, policy, name)
    checked = tuple(_as_array(f"{name}[agent={agent}]", part) for agent, part in enumerate(policy))
    for agent, (part, actions) in enumerate(zip(checked, game.num_actions, strict=True)):
        _check_part(game, f"{name}[agent={agent}]", part, actions, checked[0].shape[:-2])
    return game.arrange(tuple(in_arithmetic_of(game, part) for part in checked))


def _check_profile(game: MarkovGame, policy: Profile, name: str) -> Policy:
    """Check each stack at once; only what is wrong is looked at agent by agent."""
    stacks, batch, roster = [], policy[0].shape[:-2], policy.roster
    places = np.searchsorted(roster.ends, roster.index, side="right")
    population = np.repeat(np.arange(len(game.populations)), game.populations)
    if not np.array_equal(places, population) or not roster.counts.all():
        raise InvalidPolicyError(
            f"{name} must have a stack for each population of the game, of {game.populations} "
            "agents in this order, and no row that is nobody's"
        )
    for number, stack in enumerate(policy.stacks):
        agent = roster.some_agent(number, 0)
        part = _as_array(f"{name}[agent={agent}]", stack)
        try:
            _check_part(game, name, part, game.num_actions[agent], (len(part), *batch))
        except InvalidPolicyError:
            for row, own in enumerate(part):
                agent = roster.some_agent(number, row)
                place = f"{name}[agent={agent}]"
                _check_part(game, place, own, game.num_actions[agent], batch)
            raise
        stacks.append(in_arithmetic_of(game, part))
    return game.arrange(Profile(stacks, roster))


def _check_part(
    game: MarkovGame, name: str, part: Array, actions: int, batch: tuple[int, ...]
) -> None:
    required = (game.num_states, actions)
    if part.shape[-2:] != required:
        raise InvalidPolicyError(
            f"{name} has shape {part.shape}, must be (.., S, A_i) = "
            f"(.., {required[0]}, {required[1]})"
        )
    if part.shape[:-2] != batch:
        raise InvalidPolicyError(
            f"{name} has batch axes {part.shape[:-2]}, must be those of agent 0, {batch}"
        )
    _check_probabilities(name, part)


def in_arithmetic_of(game: MarkovGame, distributions: Array) -> Array:
    """Turn distributions (..., A) into the kind of numbers that a game is made of.

    Floats become the rationals that they are, scaled to sum to exactly 1; exact numbers are
    rounded where the game is in floats.
    """
    if not is_exact(game.initial):
        return to_float(distributions)
    return np.asarray(
        to_exact(distributions) if is_exact(distributions) else exact_rows(distributions)
    )


def _as_array(name: str, part: Any) -> Array:
    try:
        if isinstance(part, np.ndarray) and is_exact(part):
            # TypeError unless the objects are numbers; what is not finite is named by the checks
            return part if not_finite(part).any() else np.asarray(to_exact(part))
        if np.iscomplexobj(part):
            raise TypeError("they are complex")
        return np.asarray(part, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidPolicyError(f"{name} must be an array of real numbers: {error}") from error


def check_start(game: MarkovGame, initial: Array, *, name: str = "initial") -> Array:
    """Check start distributions (..., S) that came from outside; raises InvalidPolicyError."""
    start = _as_array(name, initial)
    if start.shape[-1:] != (game.num_states,):
        raise InvalidPolicyError(
            f"{name} has shape {start.shape}, must be (.., S) = (.., {game.num_states})"
        )
    for requirement, bad in (("finite", not_finite(start)), (">= 0", certainly_negative(start))):
        if bad.any():
            where = tuple(np.argwhere(bad)[0])
            raise InvalidPolicyError(
                f"{name}[s={where[-1]}] is {start[where]}, must be {requirement}"
            )
    sums = np.asarray(start.sum(axis=-1))
    tolerance = 0 if is_exact(start) else SUM_TOLERANCE
    off = np.atleast_1d(certainly_negative(tolerance - abs(sums - 1)))
    if off.any():
        raise InvalidPolicyError(
            f"{name} sums to {np.atleast_1d(sums)[off][0]}, must be 1 within {tolerance:g}"
        )
    return in_arithmetic_of(game, start)


def _check_probabilities(name: str, part: Array) -> None:
    if not_finite(part).any():
        where = tuple(np.argwhere(not_finite(part))[0])
        raise InvalidPolicyError(f"{_entry(name, where)} is {part[where]}, must be finite")
    negative = certainly_negative(part)
    if negative.any():
        where = tuple(np.argwhere(negative)[0])
        raise InvalidPolicyError(f"{_entry(name, where)} is {part[where]}, must be >= 0")
    sums = part.sum(axis=-1)
    tolerance = 0 if is_exact(part) else SUM_TOLERANCE
    off = certainly_negative(tolerance - abs(sums - 1))
    if off.any():
        where = tuple(np.argwhere(off)[0])
        raise InvalidPolicyError(
            f"{name}[s={where[-1]}] sums to {sums[where]}, must be 1 within {tolerance:g}"
        )


def _entry(name: str, where: tuple[int, ...]) -> str:
    batch = f"batch={tuple(int(i) for i in where[:-2])}, " if len(where) > 2 else ""
    return f"{name}[{batch}s={where[-2]}, a={where[-1]}]"
