"""Named games with their sources: the literature's, and the examples that decide a claim.

Every entry is a function that returns a game. Where an example needs a certain start, a function
``<name>_start`` beside it returns the policy. Games of one state have discount 0 and are given by
their payoffs; rows are agent 1, columns agent 2.

Examples
--------
>>> from pmdlib.games.catalogue import CATALOGUE, NOT_POTENTIAL
>>> CATALOGUE["distancing"]().num_agents
8
>>> "distancing" in NOT_POTENTIAL  # although it was proposed as a Markov potential game
True
"""

from collections.abc import Callable, Sequence
from math import exp
from typing import Any

import numpy as np
from flint import fmpq
from numpy.typing import ArrayLike

from pmdlib.arithmetic import Array, to_float
from pmdlib.errors import InvalidGameError
from pmdlib.games import named
from pmdlib.games.aggregative import CongestionGame, CountGame, TeamGame
from pmdlib.games.game import Policy
from pmdlib.games.profiles import Profile, Roster
from pmdlib.games.tabular import TabularGame


def one_state(payoff: ArrayLike) -> TabularGame:
    """Return the identical-interest game of one state with this payoff tensor (A_1, .., A_N)."""
    return TabularGame(np.asarray(payoff, dtype=np.float64)[None], np.eye(1), discount=0.0)


# Examples that decide a claim (discount 0 unless said otherwise)


def stay_or_leave() -> TabularGame:
    """One agent stays, or leaves for an absorbing state of reward 1; γ = 0.9.

    Leaving is worth 9. The performance-difference identity with the occupancy of the old policy
    in place of the new one says 90.
    """
    reward = np.array([[0.0, 0.0], [1.0, 1.0]])
    kernel = np.zeros((2, 2, 2))
    kernel[0, 0, 0] = kernel[0, 1, 1] = kernel[1, :, 1] = 1.0
    return TabularGame(reward, kernel, discount=0.9, initial=[1.0, 0.0])


def stage_potential_only() -> TabularGame:
    """Every stage game is a potential game (φ = 0), but this is no Markov potential game; γ = 0.9.

    Agent 1 picks state 1 or 2 from state 0; only in state 1 does it earn 1, when agent 2 plays 0.
    So agent 1's choice in state 0 matters to it, and nothing happens to φ.
    """
    rewards = np.zeros((2, 3, 2, 2))
    rewards[0, 1, :, 0] = 1.0
    kernel = np.zeros((3, 2, 2, 3))
    kernel[0, 0, :, 1] = kernel[0, 1, :, 2] = kernel[1, ..., 1] = kernel[2, ..., 2] = 1.0
    return TabularGame(
        list(rewards),
        kernel,
        discount=0.9,
        initial=[1.0, 0.0, 0.0],
        potential=np.zeros((3, 2, 2)),
    )


def instalments() -> TabularGame:
    """Settle a debt at once or in instalments: only mixed policies tell the difference; γ = 1/2.

    In state 0 agent 1 asks for 1 at once (action 0), which settles the debt, or for instalments of
    1/2 (action 1) for as long as agent 2 pays (action 1). As soon as agent 2 refuses, or all is
    paid, nothing more happens (state 1). Agent 2 does not care.

    Whoever pays for certain is worth 1 either way, and whoever refuses is worth 0: with pure
    policies agent 1's choice never matters, and every cycle closes. If agent 2 pays with
    probability q, asking at once is worth q and instalments are worth q / (2 - q). So this is no
    Markov potential game, and a test with pure policies only would not notice.

    References
    ----------
    Derived.
    """
    reward = np.zeros((2, 2, 2))
    reward[0, :, 1] = 1.0, 0.5
    kernel = np.zeros((2, 2, 2, 2))
    kernel[..., 1] = 1.0
    kernel[0, 1, 1] = 1.0, 0.0
    return TabularGame([reward, np.zeros((2, 2, 2))], kernel, discount=0.5, initial=[1.0, 0.0])


def anti_coordination() -> TabularGame:
    """φ = 1 if the two agents differ: the smallest game in which large steps overshoot."""
    return one_state([[0.0, 1.0], [1.0, 0.0]])


def anti_coordination_start() -> Policy:
    """Both agents play (0.55, 0.45)."""
    return (np.array([[0.55, 0.45]]), np.array([[0.55, 0.45]]))


def isolated() -> TabularGame:
    """[[1, .3], [.2, .6]]: four vertices and one mixed fixed point (4/11, 3/11), all isolated."""
    return one_state([[1.0, 0.3], [0.2, 0.6]])


def slow_switch(epsilon: float = 0.1, *, base: float = 0.5, extra: float = 0.25) -> TabularGame:
    """[[Δ, Δ+ε], [0, Δ+ε+δ]]: isolated fixed points for ε > 0, yet c falls like e^{-K/ε}.

    Agent 1 first learns row 1 for as long as agent 2 still favours the left column; when agent 2
    has turned, row 2 is best, but hardly any mass is left on it. ε = 0 gives a continuum.

    ε is ``epsilon``, Δ is ``base`` and δ is ``extra``.
    """
    return one_state([[base, base + epsilon], [0.0, base + epsilon + extra]])


def slow_switch_start(*, odds: float = 4.0) -> Policy:
    """Agent 1 mixes evenly; agent 2 plays right : left = e^{-L} : 1, with L = ``odds``."""
    right = exp(-odds) / (1 + exp(-odds))
    return (np.array([[0.5, 0.5]]), np.array([[1 - right, right]]))


def slow_switch_from_uniform(
    epsilon: float = 0.01, *, base: float = 0.5, extra: float = 0.05
) -> TabularGame:
    """Left split into three near-copies, so that the uniform start has a tiny c as well.

    The copies pay 0, 1e-5 and 2.3e-5 less than left does, in both rows: no two actions tie, and
    all fixed points are isolated.
    """
    loss = np.array([0.0, 1e-5, 2.3e-5])
    top = np.append(base - loss, base + epsilon)
    return one_state([top, np.append(-loss, base + epsilon + extra)])


def three_agents_degenerate() -> TabularGame:
    """Ten isolated fixed points, one of them not quasi-strict.

    At (0, ½, ½) agent 1's unused action is exactly as good as its used one. With two agents and
    one state that cannot happen at an isolated point.
    """
    return one_state([[[0.8, 0.0], [0.0, 0.8]], [[1.0, 0.12], [0.04, 0.44]]])


def half_face(num_agents: int = 4, actions: int = 2, *, delta: float = 1e-3) -> TabularGame:
    """Euclidean steps lose here: φ = 1-δ, 1, 0, 0, .. for k = 0, 1, >= 2 agents across.

    Each agent starts uniform on the first half of its actions; k counts the agents that play in the
    other half; δ is ``delta``. One agent alone should cross; all crossing at once lose. Among
    symmetric populations with two actions nothing is known to lose at smaller steps for N >= 5; for
    N = 2, 3 and 4 something is, see the stored worst instances.

    Raises
    ------
    InvalidGameError
        If there are fewer than two agents, or the number of actions is odd or below 2.
    """
    if actions < 2 or actions % 2 or num_agents < 2:
        raise InvalidGameError(
            f"half_face has {num_agents} agents with {actions} actions, must have at least 2 "
            "agents and an even number of actions"
        )
    across = (np.indices((actions,) * num_agents) >= actions // 2).sum(axis=0)
    return one_state(np.select([across == 0, across == 1], [1 - delta, 1.0], 0.0))


def half_face_start(num_agents: int = 4, actions: int = 2) -> Policy:
    """Every agent is uniform on the first half of its actions."""
    own = np.zeros((1, actions))
    own[0, : actions // 2] = 2 / actions
    return (own,) * num_agents


def crowd(by_count: Sequence[float] = (0.0, 1.0, 0.93, *[0.0] * 8)) -> TabularGame:
    """φ = ``by_count``[k] when k of the agents play action 1: N = len(by_count) - 1 agents.

    The default, ten agents found by a linear program, refutes the two-agent coefficient of the KL
    step for larger N.

    Raises
    ------
    InvalidGameError
        If there are fewer than two payoffs.
    """
    agents = len(by_count) - 1
    if agents < 1:
        raise InvalidGameError(f"by_count has {len(by_count)} entries, must have at least 2")
    return one_state(np.asarray(by_count)[np.indices((2,) * agents).sum(axis=0)])


def crowd_start(num_agents: int = 10, probability: float = 0.1) -> Policy:
    """Every agent plays action 1 with this probability."""
    return (np.array([[1 - probability, probability]]),) * num_agents


def rider(crowd: int = 4) -> TabularGame:
    """N agents who must not deviate together, and a rider who has only its own action to learn.

    φ = ½ c_k + ½ [rider plays 1] with c_k = 0.8, 1, 0, 0, .. for k = 0, 1, >= 2 deviators. The
    rider needs a number of iterations inversely proportional to the step size.
    """
    joint = np.indices((2,) * (crowd + 1))
    deviators = joint[:crowd].sum(axis=0)
    crowd_part = np.select([deviators == 0, deviators == 1], [0.8, 1.0], 0.0)
    return one_state(crowd_part / 2 + joint[crowd] / 2)


def rider_start(crowd: int = 4) -> Policy:
    """Each of the crowd deviates with probability 0.5/N; the rider plays 1 with probability .01."""
    member = np.array([[1 - 0.5 / crowd, 0.5 / crowd]])
    return (*[member] * crowd, np.array([[0.99, 0.01]]))


def rare_best_action() -> TabularGame:
    """One agent, payoffs (1, 0): from a start that hardly plays the best action, c is tiny."""
    return one_state([1.0, 0.0])


def rare_best_action_start(probability: float = 1e-6) -> Policy:
    """Play the best action with this probability."""
    return (np.array([[probability, 1 - probability]]),)


def needle(actions: int = 64) -> TabularGame:
    """One agent, only the first of many actions pays: what M in the Euclidean bounds sees."""
    return one_state(np.eye(actions)[0])


def needle_start(actions: int = 64) -> Policy:
    """Uniform on all actions but the good one."""
    return (np.append(0.0, np.full(actions - 1, 1 / (actions - 1)))[None],)


def rare_visit() -> TabularGame:
    """One agent hardly ever visits the state where it could learn; γ = 0.9.

    State 0: stay pays 0.51 once, by way of state 2; go leads to state 1, where good pays 1 and bad
    0. Everything ends in the absorbing state 3. The best response goes and plays good.
    """
    reward = np.zeros((4, 2))
    reward[1, 0] = 1.0
    reward[2, :] = 0.51
    kernel = np.zeros((4, 2, 4))
    kernel[0, 0, 2] = kernel[0, 1, 1] = kernel[1, :, 3] = kernel[2, :, 3] = kernel[3, :, 3] = 1.0
    return TabularGame(reward, kernel, discount=0.9, initial=[1.0, 0.0, 0.0, 0.0])


def rare_visit_start(probability: float = 1e-4) -> Policy:
    """Go with this small probability; play good and bad evenly in state 1."""
    return (np.array([[1 - probability, probability], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]),)


# Games of the literature


def distancing(num_agents: int = 8, facilities: int = 4) -> TabularGame:
    """Distancing game of Leonardos et al. (2022): crowds pay, until they close the place; γ = .99.

    Every agent picks one facility; facility k pays each user w_k · (number of users), w = (1, 2,
    4, 6), and 100 less in the distancing state. Safe turns to distancing when more than half of
    the agents share a facility; distancing turns to safe when none has more than a quarter.

    It is used in the literature as a Markov potential game; no potential is stated here, because
    the claim is there to be tested (`is_markov_potential_game`).

    Raises
    ------
    InvalidGameError
        If ``facilities`` is not 4, for which the weights are known.

    References
    ----------
    Leonardos, Overman, Panageas, Piliouras, "Global Convergence of Multi-Agent Policy Gradient in
    Markov Potential Games", ICLR 2022.
    """
    weights = np.array([1.0, 2.0, 4.0, 6.0])
    if facilities != len(weights):
        raise InvalidGameError(f"distancing has {facilities} facilities, must have {len(weights)}")
    joint = np.indices((facilities,) * num_agents)
    load = np.stack([(joint == k).sum(axis=0) for k in range(facilities)])
    paid = [weights[own] * np.take_along_axis(load, own[None], axis=0)[0] for own in joint]
    crowd = load.max(axis=0)
    kernel = np.zeros((2, *crowd.shape, 2))
    closes, opens = crowd > num_agents / 2, crowd <= num_agents / 4
    kernel[0, ..., 1], kernel[0, ..., 0] = closes, ~closes
    kernel[1, ..., 0], kernel[1, ..., 1] = opens, ~opens
    return TabularGame([np.stack([r, r - 100.0]) for r in paid], kernel, discount=0.99)


def pollution_tax(num_agents: int = 4) -> TabularGame:
    """Pollution-tax game of Jordan et al. (2024): dirty pays more, everyone is taxed; γ = .99.

    States free and polluted. Clean pays 2, dirty 4; in the polluted state everybody is taxed 4, 8,
    32 for N = 2, 4, 8. The next state is free exactly if all play clean.

    Raises
    ------
    InvalidGameError
        If no tax is known for this number of agents.

    References
    ----------
    Jordan, Barakat, He, "Independent Learning in Constrained Markov Potential Games", AISTATS 2024.
    """
    taxes = {2: 4.0, 4: 8.0, 8: 32.0}
    if num_agents not in taxes:
        raise InvalidGameError(
            f"pollution_tax has {num_agents} agents, must have one of {[*taxes]}"
        )
    joint = np.indices((2,) * num_agents)
    pay = np.array([2.0, 4.0])[joint]
    free = (joint == 0).all(axis=0)
    kernel = np.broadcast_to(np.stack([free, ~free], axis=-1), (2, *free.shape, 2))
    tax = taxes[num_agents]
    return TabularGame([np.stack([r, r - tax]) for r in pay], kernel, discount=0.99)


def demand_response(num_agents: int = 2) -> TabularGame:
    """Energy-market game with 5 states of price and 5 levels of demand; γ = .99.

    Reward 2a - a·Σa/4 - a·1.25^s; with probability 0.9 the next state is
    clip(round(2·mean(a)) + w, 0, 4), else w, where w is uniform on 0..4 (halves round to even).

    References
    ----------
    Narasimha et al., "Multi-agent learning via Markov potential games in marketplaces for
    distributed energy resources", CDC 2022; Jordan, Barakat, He, AISTATS 2024.
    """
    levels = 5
    joint = np.indices((levels,) * num_agents)
    total = joint.sum(axis=0)
    price = 1.25 ** np.arange(levels)
    column = (slice(None), *[None] * num_agents)
    rewards = [2.0 * own - own * total / 4 - own * price[column] for own in joint]
    following = np.full((*total.shape, levels), 0.1 / levels)
    for shock in range(levels):
        state = np.clip(np.rint(2 * total / num_agents).astype(int) + shock, 0, levels - 1)
        following += 0.9 / levels * (state[..., None] == np.arange(levels))
    kernel = np.broadcast_to(following, (levels, *following.shape))
    return TabularGame(rewards, kernel, discount=0.99)


def perturbed_team(epsilon: float = 1 / 16) -> TabularGame:
    """Two agents with a common reward, and ε more of their own: near a potential game; γ = 7/8.

    In calm weather (state 0) the team earns 1 if both act and 1/4 if neither does; if both act, the
    next state is rough (state 1), where it earns 1/2 for resting together and nothing else, and
    which ends with probability 1/2. Agent 1 earns ε more if the two do the same, agent 2 if they
    differ. ε = 0 is a game of identical interest.

    References
    ----------
    In the style of the perturbed Markov team games of Guo, Li, Maheshwari, Sastry, Wu, "Markov
    α-Potential Games", 2023; the numbers are ours.
    """
    team = np.array([[[0.25, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 0.0]]])
    same = np.eye(2)
    kernel = np.zeros((2, 2, 2, 2))
    kernel[0, ..., 0] = 1.0
    kernel[0, 1, 1] = 0.0, 1.0
    kernel[1] = 0.5
    return TabularGame([team + epsilon * same, team + epsilon * (1 - same)], kernel, discount=0.875)


def routing_in_weather(num_agents: int = 3) -> TabularGame:
    """Two roads, and weather that nobody moves: a Markov potential game; γ = 7/8.

    Every agent takes the high road or the low road (actions 0, 1). With load k the high road pays
    each user 8 - k in fair weather (state 0) and 6 - 3k in foul, the low road 6 - k always. The
    weather stays with probability 3/4. Rosenthal's potential Σ_road Σ_{k <= load} pay(road, k) is
    exact in each state, and no action moves the state.

    References
    ----------
    In the style of the Markov congestion games of the literature; the numbers are ours.
    """
    paid, rosenthal = _roads(num_agents)
    kernel = np.array([[0.75, 0.25], [0.25, 0.75]])
    return TabularGame(paid, kernel, discount=0.875, potential=rosenthal)


def routing_with_wear(num_agents: int = 3) -> TabularGame:
    """Two roads, of which traffic wears out one: the same stage games, but no potential; γ = 7/8.

    Pay is that of `routing_in_weather`, with the high road intact (state 0) or worn (state 1). It
    is worn next time with probability load / (2N), and half more if it is worn now. The stated
    potential is Rosenthal's, right in each state by itself and wrong over time: who wears the road
    out takes from those who use it later, and no stage potential sees that.

    References
    ----------
    In the style of the Markov congestion games of Guo, Li, Maheshwari, Sastry, Wu, "Markov
    α-Potential Games", 2023; the numbers are ours.
    """
    paid, rosenthal = _roads(num_agents)
    load = (np.indices((2,) * num_agents) == 0).sum(axis=0)
    worn = np.stack([load / (2 * num_agents), load / (2 * num_agents) + 0.5])
    kernel = np.stack([1 - worn, worn], axis=-1)
    return TabularGame(paid, kernel, discount=0.875, potential=rosenthal)


def _roads(num_agents: int) -> tuple[list[Array], Array]:
    """Rewards and Rosenthal potential of the two roads in the two states."""
    if num_agents < 2:
        raise InvalidGameError(f"routing has {num_agents} agents, must have at least 2")
    joint = np.indices((2,) * num_agents)
    high = (joint == 0).sum(axis=0)
    loads = np.arange(num_agents + 1)
    pay = np.array([[8 - loads, 6 - loads], [6 - 3 * loads, 6 - loads]], dtype=float)
    pay[..., 0] = 0.0  # with nobody there, nobody is paid
    total = pay.cumsum(axis=-1)
    rosenthal = total[:, 0, high] + total[:, 1, num_agents - high]
    taken = [pay[:, 0, high], pay[:, 1, num_agents - high]]
    return [np.where(own == 0, *taken) for own in joint], rosenthal


def separate_worlds() -> TabularGame:
    """Each agent moves a state of its own, and likes the other's to be up: no potential; γ = 3/4.

    State 2x + y: agent 1's world is up (x = 1) or down, agent 2's likewise (y). Each action says
    where the own world goes next. Both earn 1 if both worlds are up; agent 1 earns 1 more if y = 1.

    The extra term does not depend on agent 1, neither on its action nor on its world. Were policies
    allowed to look at the own world only, this would be a potential game. But Markov policies see
    the whole state: agent 2 may answer to x, and so agent 1 can move y.

    References
    ----------
    In the style of potential games with one state for each agent; the numbers are ours.
    """
    first, second = np.divmod(np.arange(4), 2)
    both = (first * second)[:, None, None] * np.ones((4, 2, 2))
    kernel = np.zeros((4, 2, 2, 4))
    for own, other in np.ndindex(2, 2):
        kernel[:, own, other, 2 * own + other] = 1.0
    return TabularGame([both + second[:, None, None], both], kernel, discount=0.75, potential=both)


# Examples for any number of agents: populations who share a policy, seen through counts


def half_face_team(num_agents: int = 4, actions: int = 2, *, delta: Any = 1e-3) -> TeamGame:
    """Return `half_face` by counts, for any number of agents and of actions; exact if δ is.

    The first half of the actions, or one more, is where the agents start; δ is ``delta``.

    Raises
    ------
    InvalidGameError
        If there are fewer than two agents or two actions.
    """
    if actions < 2 or num_agents < 2:
        raise InvalidGameError(
            f"half_face_team has {num_agents} agents with {actions} actions, must have at least 2 "
            "of each"
        )
    table = np.array([1 - delta, 1, *[0] * (num_agents - 1)])
    near = (actions + 1) // 2
    across: list[tuple[int, ...]] = [()] * near + [(0,)] * (actions - near)
    return TeamGame(table[None, None], [(num_agents, across)])


def half_face_team_start(num_agents: int = 4, actions: int = 2, *, exact: bool = False) -> Profile:
    """Every agent is uniform on the first half of its actions.

    ``exact`` gives rationals.
    """
    near = (actions + 1) // 2
    own = np.array([fmpq(a < near, near) for a in range(actions)])
    return _shared([own if exact else to_float(own)], [num_agents])


def one_or_two(num_agents: int = 8) -> CountGame:
    """KL steps lose here: φ = 1 if one or two agents play action 1, else 0; of two agents, if one.

    For more than two agents it is the worst game that a search over symmetric populations knows.

    Raises
    ------
    InvalidGameError
        If there are fewer than two agents.
    """
    if num_agents < 2:
        raise InvalidGameError(f"one_or_two has {num_agents} agents, must have at least 2")
    table = np.zeros(num_agents + 1)
    table[1 : min(num_agents, 3)] = 1
    return CountGame(table)


def one_or_two_start(num_agents: int = 8, *, exact: bool = False) -> Profile:
    """Play action 1 with probability 9/(15N - 25), near the worst for N >= 3; 9/20 for N = 2.

    ``exact`` gives rationals.
    """
    rare = fmpq(9, max(15 * num_agents - 25, 20))
    own = np.array([1 - rare, rare])
    return _shared([own if exact else to_float(own)], [num_agents])


def rider_team(crowd: int = 4) -> TeamGame:
    """Return `rider` by counts, for a crowd of any size."""
    table = np.zeros((1, 2, crowd + 2))
    table[0, 0, :2] = 0.4, 0.5
    table[0, 1, 1] = 0.5
    return TeamGame(table, [(crowd, [(), (0,)]), (1, [(), (1,)])])


def rider_team_start(crowd: int = 4) -> Profile:
    """Return `rider_start`, the crowd's policy stored once."""
    return _shared([np.array([1 - 0.5 / crowd, 0.5 / crowd]), np.array([0.99, 0.01])], [crowd, 1])


def two_roads(num_agents: int = 8) -> CongestionGame:
    """Each agent picks one of two roads, which pay .9 - .5 x and .8 - .8 x if a share x is on it.

    What an agent is paid stays of order 1 however many there are, and so does how much two of them
    interact, added up over all; the potential grows like their number. From the uniform start.
    """
    share = np.arange(1, num_agents + 1) / num_agents
    return CongestionGame([[0.9 - 0.5 * share, 0.8 - 0.8 * share]], num_agents)


#: Payoffs of `commute` are FREE - SLOPES x, for a share x of the agents; by weather and road.
COMMUTE_FREE = (0.95, 0.9, 0.8, 0.7)
COMMUTE_SLOPES = ((0.45, 0.35, 0.2, 0.15), (0.9, 0.2, 0.4, 0.3))


def commute(num_agents: int = 8) -> CongestionGame:
    """Each agent picks one of four roads, every day; dry days and wet days; γ = 3/4.

    The better a road is when empty, the more it suffers from crowds, except that in the wet the
    second one, a tunnel, suffers less. Dry days follow dry ones with probability .8, wet days wet
    ones with .6, whatever the agents do. As in `two_roads`, payoffs are by shares.
    """
    share = np.arange(1, num_agents + 1) / num_agents
    payoffs = np.array(COMMUTE_FREE)[:, None] - np.array(COMMUTE_SLOPES)[..., None] * share
    return CongestionGame(payoffs, num_agents, [[0.8, 0.2], [0.4, 0.6]], discount=0.75)


def _shared(policies: Sequence[Array], populations: Sequence[int]) -> Profile:
    """One policy (A,) for each population, in a game of one state."""
    return Profile([own[None, None] for own in policies], Roster.alike(populations))


#: The games by name, each with the defaults of its function; those of `pmdlib.games.named` last.
CATALOGUE: dict[str, Callable[[], TabularGame]] = {
    function.__name__.replace("_", "-"): function
    for function in (
        stay_or_leave,
        stage_potential_only,
        instalments,
        anti_coordination,
        isolated,
        slow_switch,
        slow_switch_from_uniform,
        three_agents_degenerate,
        half_face,
        crowd,
        rider,
        rare_best_action,
        needle,
        rare_visit,
        distancing,
        pollution_tax,
        demand_response,
        perturbed_team,
        routing_in_weather,
        routing_with_wear,
        separate_worlds,
    )
}
for _name in sorted(CATALOGUE.keys() & named.GAMES.keys()):
    raise InvalidGameError(f"the game {_name!r} of {named.__name__} is in the catalogue already")
CATALOGUE |= named.GAMES

#: Those that are no Markov potential games; `pmdlib.analysis.potential.verdicts` keeps the proofs.
NOT_POTENTIAL = (
    "stage-potential-only",
    "instalments",
    "distancing",
    "pollution-tax",
    "demand-response",
    "perturbed-team",
    "routing-with-wear",
    "separate-worlds",
    *named.NOT_POTENTIAL,
)


def payoff(game: TabularGame) -> Array:
    """Return the payoff tensor (A_1, .., A_N) of an identical-interest game of one state.

    Raises
    ------
    InvalidGameError
        If the game is not of that kind.
    """
    if game.num_states != 1 or not game.identical_interest:
        raise InvalidGameError("payoff needs an identical-interest game of one state")
    return np.asarray(game.potential[0])
