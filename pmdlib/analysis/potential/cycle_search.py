"""Open cycles that are easy to read: pure policies, even mixes, no move that does not matter."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from pmdlib.analysis.policies import replace
from pmdlib.analysis.potential.cycles import Cycle, between, cycle_sum, exact_cycle
from pmdlib.arithmetic import Array
from pmdlib.errors import PmdError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

#: A coordinate of a walk changes only for a larger sum: by this factor, well above rounding.
_GAIN = 1 + 1e-9


def widest_cycle(
    game: TabularGame,
    agents: tuple[int, int],
    rng: np.random.Generator,
    *,
    length: int = 4,
    restarts: int = 4,
    mixes: bool = True,
) -> Cycle:
    """Look for a cycle of two agents with a large sum, among policies that are easy to read.

    Coordinate ascent from a random start: one agent, one turn, one state after the other switches
    to the action, or (``mixes``) the even mix of two, that opens the cycle the widest; then the
    others, who stand still, do the same with their actions, and so on until nothing helps. In the
    end all that can be undone without loss is undone. Floats search; the result is evaluated
    exactly.

    Parameters
    ----------
    game : TabularGame
    agents : (i, j)
    rng : numpy.random.Generator
    length : int, even, >= 4
    restarts : int >= 1
    mixes : bool
        Whether the two agents may mix; pure policies make the simpler witness, mixed ones may be
        needed.

    Returns
    -------
    Cycle, the widest found; its ``total`` may be zero.

    Raises
    ------
    PmdError
        If the length is odd or below 4, or there are no restarts.
    """
    if length < 4 or length % 2 or restarts < 1:
        raise PmdError(
            f"a search for cycles of length {length} with {restarts} restarts: the length must be "
            "even and at least 4, and the restarts at least 1"
        )
    best, found = -1.0, (random_pure_policy(game, rng), list[Array]())
    for _ in range(restarts):
        start = random_pure_policy(game, rng)
        pair = floating_pair(game, agents, start)
        walk = []
        for turn in range(length):
            choices = _choices(pair.num_actions[turn % 2], mixes=mixes)
            walk.append(choices[rng.integers(len(choices), size=game.num_states)])
        walk, score = _ascend(pair, walk, mixes=mixes)
        while (better := _placed(game, agents, start, walk, score)) is not start:
            start = better
            walk, score = _ascend(floating_pair(game, agents, start), walk, mixes=mixes)
        if score > best * _GAIN:
            best, found = score, (start, walk)
    start, walk = found
    walk = _tidy(floating_pair(game, agents, start), walk, best)
    start = replace(replace(start, agents[0], walk[0]), agents[1], walk[1])
    return exact_cycle(game, start, agents, walk[2:])


def floating_pair(game: TabularGame, agents: tuple[int, int], policy: Policy) -> TabularGame:
    """Return `between` in floating point, for a search."""
    return between(game, agents, policy).rounded()


def random_pure_policy(game: TabularGame, rng: np.random.Generator) -> Policy:
    """Draw an action for each agent and state, all equally likely: N arrays (S, A_i) of 0 and 1."""
    return tuple(np.eye(m)[rng.integers(m, size=game.num_states)] for m in game.num_actions)


def _ascend(pair: TabularGame, walk: list[Array], *, mixes: bool) -> tuple[list[Array], float]:
    walk = list(walk)
    score, before = -1.0, -2.0
    while score > before:
        before = score
        for turn, state, options in _coordinates(pair, walk, mixes=mixes):
            scores = _scores(pair, walk, turn, state, options)
            if scores.max() > score * _GAIN:
                first = np.argmax(scores * _GAIN >= scores.max())  # of ties, whatever the rounding
                score = float(scores.max())
                walk[turn] = _changed(walk[turn], state, options[first])
    return walk, score


def _placed(
    game: TabularGame, agents: tuple[int, int], start: Policy, walk: list[Array], score: float
) -> Policy:
    """Let the others choose, one by one and state by state, the action that opens the cycle."""
    for agent in set(range(game.num_agents)) - set(agents):
        for state, action in np.ndindex(game.num_states, game.num_actions[agent]):
            own = _changed(start[agent], state, np.eye(game.num_actions[agent])[action])
            changed = replace(start, agent, own)
            pair = floating_pair(game, agents, changed)
            found = float(_scores(pair, walk, 0, 0, walk[0][None, 0]).max())
            if found > score * _GAIN:
                start, score = changed, found
    return start


def _choices(actions: int, *, mixes: bool) -> Array:
    """Return the pure actions and, if asked, the even mixes of two: (choices, actions)."""
    pure = np.eye(actions)
    even = [(one + two) / 2 for one, two in combinations(pure, 2) if mixes]
    return np.stack([*pure, *even])


def _coordinates(
    pair: TabularGame, walk: list[Array], *, mixes: bool
) -> Iterator[tuple[int, int, Array]]:
    """List all turns and states, each with the choices there."""
    for turn in range(len(walk)):
        for state in range(pair.num_states):
            yield turn, state, _choices(pair.num_actions[turn % 2], mixes=mixes)


def _tidy(pair: TabularGame, walk: list[Array], score: float) -> list[Array]:
    """Undo what does not matter: moves where an agent may stay, actions where it may play 0."""
    for turn, state, options in _coordinates(pair, walk, mixes=False):
        simpler = [options[0]] if turn < 2 else [walk[turn - 2][state], options[0]]
        scores = _scores(pair, walk, turn, state, np.stack(simpler))
        good = np.flatnonzero(scores * _GAIN >= score)
        if len(good):
            walk[turn] = _changed(walk[turn], state, simpler[good[0]])
    return walk


def _scores(pair: TabularGame, walk: list[Array], turn: int, state: int, options: Array) -> Array:
    """Size of the cycle sum, largest over start states, for each option."""
    batch = [np.broadcast_to(own, (len(options), *own.shape)) for own in walk]
    batch[turn] = batch[turn].copy()
    batch[turn][:, state] = options
    total, _ = cycle_sum(pair, (batch[0], batch[1]), (0, 1), batch[2:])
    return np.asarray(abs(total).max(axis=-1))


def _changed(own: Array, state: int, row: Array) -> Array:
    changed = own.copy()
    changed[state] = row
    return changed
