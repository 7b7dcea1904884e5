"""Games in which agents meet at facilities: what counts is how many use each, not who.

An action is a bundle of facilities. Given the others' policies, how many of them use a facility is
a sum of independent indicators, so averages over all of them are averages over one load at a time
(`average_over_load`), for agents with different policies as well.
"""

from abc import abstractmethod
from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pmdlib.arithmetic import (
    UNIT_ROUNDOFF,
    Array,
    Ball,
    is_exact,
    largest,
    maximum,
    smallest,
    to_exact,
)
from pmdlib.errors import InvalidGameError
from pmdlib.games.checks import (
    check_discount,
    check_initial,
    check_kernel,
)
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.loads import average_over_load, expect_load
from pmdlib.games.profiles import Profile, Roster
from pmdlib.whole import is_whole

#: Facilities that each action uses: ``[(0,), (1, 2)]`` are two actions, one of two facilities.
Bundles = Sequence[Sequence[int]]

#: Up to this many agents the extremes of a sum over facilities are found by dynamic programming,
#: at a cost of N² for each facility and state.
MOST_PROGRAMMED = 4096


class FacilityGame(MarkovGame):
    """Base of games seen through loads; see `CongestionGame` and `TeamGame`.

    Parameters
    ----------
    states, facilities : int
    agents : int, or sequence of (size, bundles)
        Number of agents, each of whom picks one facility; or populations of so many agents whose
        actions are these bundles.
    kernel : array (S, S), or None
        Transition matrix; None where a subclass has a kernel of its own.
    discount : float in [0, 1)
    initial : array (S,), or None
        Initial distribution ρ; uniform if None.
    exact : bool
        Whether the tables of the subclass are exact.
    """

    def __init__(
        self,
        states: int,
        facilities: int,
        agents: int | Sequence[tuple[int, Bundles]],
        kernel: ArrayLike | None,
        *,
        discount: Any,
        initial: ArrayLike | None,
        exact: bool,
    ) -> None:
        groups = _populations(agents, facilities)
        #: Populations of agents, (size, bundles) each, as `CongestionGame` takes them.
        self.bundles = groups
        self.populations = tuple(size for size, _ in groups)
        self.num_actions = tuple(len(bundles) for size, bundles in groups for _ in range(size))
        #: Whether each action uses each facility, for each population: (A_i, F) of 0 and 1.
        self.incidences = tuple(_incidence(bundles, facilities) for _, bundles in groups)
        self._exogenous: Array | None = None
        if kernel is not None:
            self._exogenous = check_kernel(kernel, states, (), identical=False)[1]
            exact = exact or is_exact(self._exogenous)
            if exact:
                self._exogenous = to_exact(self._exogenous)
        discount = check_discount(discount)
        self.discount = to_exact(discount) if exact else float(discount)
        self.initial = check_initial(initial, states, exact=exact)

    @property
    def exogenous_kernel(self) -> Array | None:
        """Transition matrix (S, S) if no action moves the state, else None."""
        return self._exogenous

    def arrange(self, policy: Policy) -> Profile:
        """Return a policy with a stack for each population, equal policies in one row."""
        if isinstance(policy, Profile):
            return policy
        stacks: list[Array] = []
        index: list[int] = []
        sizes: list[int] = []
        first = 0
        for size in self.populations:
            rows: dict[Any, int] = {}
            leaders: list[Array] = []
            for own in policy[first : first + size]:
                row = rows.setdefault(_identity(own), len(rows))
                if row == len(leaders):
                    leaders.append(own)
                index.append(sum(sizes) + row)
            stacks.append(np.stack(leaders))
            sizes.append(len(leaders))
            first += size
        return Profile(stacks, Roster(np.array(index), tuple(sizes)))

    def _users(self, policy: Profile) -> Array:
        """Probability that an agent of each row uses each facility: (..., S, F, R)."""
        users = [
            np.moveaxis(stack @ incidence, 0, -1)
            for stack, incidence in zip(policy.stacks, self.incidences, strict=True)
        ]
        return np.concatenate(users, axis=-1)

    def _over_loads(self, tables: Array, policy: Profile) -> Array:
        """Average tables (S, F, K, N) over the load of the others: (..., S, F, K, R)."""
        return average_over_load(tables, self._users(policy), policy.roster.counts)

    def expected_loads(self, policy: Policy) -> Array:
        """Return how many agents are expected to use each facility: (..., S, F)."""
        profile = self.arrange(policy)
        return np.asarray((self._users(profile) * profile.roster.counts).sum(axis=-1))

    def expected_potential(self, policy: Policy) -> Array:
        """Average the stage potential over all agents, plus `potential_shift`: (..., S)."""
        profile = self.arrange(policy)
        terms = self.potential_terms[:, :, None, :]
        means = expect_load(terms, self._users(profile), profile.roster.counts)
        return np.asarray(means[..., 0].sum(axis=-1) + self.potential_shift)

    def _own_actions(self, added: Array, base: Array | None, policy: Profile) -> Profile:
        """Sum what the facilities of each own action add, (..., S, F, R), to a base (..., S, R)."""
        ends = policy.roster.ends[:-1]
        columns = np.split(np.moveaxis(added, -1, 0), ends)
        sums = [
            part @ incidence.T for part, incidence in zip(columns, self.incidences, strict=True)
        ]
        if base is not None:
            bases = np.split(np.moveaxis(base, -1, 0)[..., None], ends)
            sums = [mine + other for mine, other in zip(sums, bases, strict=True)]
        return Profile(sums, policy.roster)

    def average_kernel(self, policy: Policy) -> Policy:
        """Average the next-state probabilities over the others: N arrays (..., S, A_i, S)."""
        profile = self.arrange(policy)
        if self._exogenous is None:
            return self._average_own_kernel(profile)
        lines = self._exogenous[:, None, :]
        shapes = [(*stack.shape, self.num_states) for stack in profile.stacks]
        return Profile([np.broadcast_to(lines, shape) for shape in shapes], profile.roster)

    def _average_own_kernel(self, profile: Profile) -> Profile:
        raise NotImplementedError

    @property
    def has_potential(self) -> bool:
        """Always: that is what these games are for."""
        return True

    @property
    @abstractmethod
    def potential_terms(self) -> Array:
        """Terms W (S, F, N + 1) of the stage potential φ = Σ_f W_f(load of f), before any shift."""

    @cached_property
    def _potential_extremes(self) -> tuple[Any, Any]:
        """Lower and upper bound of the stage potential, before any shift."""
        return self.extremes(self.potential_terms)

    @cached_property
    def potential_shift(self) -> Any:
        """What is added to the stated potential so that it is nowhere negative.

        With it the potential starts at 0 where `extremes` is exact, else at 0 or above.
        """
        low, _ = self._potential_extremes
        return -low if low < 0 else 0

    @cached_property
    def phi_max(self) -> Any:
        """Largest stage potential, after a shift to start at 0 if it is negative somewhere.

        Attained where `extremes` is exact, else an upper bound.
        """
        return self._potential_extremes[1] + self.potential_shift

    def extremes(self, terms: Array) -> tuple[Any, Any]:
        """Smallest and largest Σ_f terms_f(load of f) over states and joint actions.

        They are attained if every load can be reached whatever the others are, or if every agent
        picks one of all facilities and N <= `MOST_PROGRAMMED` or all terms are convex or all
        concave. Otherwise they are bounds.
        """
        if self._picks_one and len(terms[0]) > 1:
            pairs = [_extremes_of_partition(table) for table in terms]
        else:
            pairs = [self._extremes_apart(table) for table in terms]
        lows, highs = (np.array(side, dtype=terms.dtype) for side in zip(*pairs, strict=True))
        return _number(smallest(lows)), _number(largest(highs))

    @cached_property
    def _picks_one(self) -> bool:
        """Whether every agent picks exactly one facility, any of them."""
        return all(
            (part.sum(axis=1) == 1).all() and (part.sum(axis=0) > 0).all()
            for part in self.incidences
        )

    def _extremes_apart(self, terms: Array) -> tuple[Any, Any]:
        """Bounds of the sum for terms (F, N + 1), each facility at the worst of its own loads."""
        least, most = self._reachable
        reached = [row[a : b + 1] for row, a, b in zip(terms, least, most, strict=True)]
        return sum(smallest(row) for row in reached), sum(largest(row) for row in reached)

    @cached_property
    def _reachable(self) -> tuple[Array, Array]:
        """Least and largest load that each facility may have, (F,) each."""
        sizes = np.array(self.populations)
        least = sizes @ np.stack([part.min(axis=0) for part in self.incidences])
        most = sizes @ np.stack([part.max(axis=0) for part in self.incidences])
        return least, most


def _extremes_of_partition(terms: Array) -> tuple[Any, Any]:
    """Extremes of Σ_f terms_f(n_f), terms (F, N + 1), over all loads that sum to N."""
    if terms.shape[1] - 1 <= MOST_PROGRAMMED:
        return -_best_partition(-terms), _best_partition(terms)
    bends = np.diff(terms, n=2, axis=1)
    # What a linear table bends by rounding must not hide that it is both.
    rounding = 0 if is_exact(terms) else 4 * UNIT_ROUNDOFF * abs(terms).max()
    if (bends <= rounding).all():
        return -_convex_partition(-terms), _concave_partition(terms)
    if (bends >= -rounding).all():
        return -_concave_partition(-terms), _convex_partition(terms)
    return sum(smallest(row) for row in terms), sum(largest(row) for row in terms)


def _best_partition(terms: Array) -> Any:
    """Largest sum by dynamic programming: the best of n agents on the facilities so far."""
    best = terms[0]
    for row in terms[1:]:
        extended = best + row[0]
        for load in range(1, len(row)):
            extended[load:] = maximum(extended[load:], best[:-load] + row[load])
        best = extended
    return best[-1]


def _concave_partition(terms: Array) -> Any:
    """Largest sum of concave terms: agents come one by one, each where it adds most."""
    agents = terms.shape[1] - 1
    steps = np.partition(np.diff(terms, axis=1).ravel(), -agents)[-agents:]
    return terms[:, 0].sum() + steps.sum()


def _convex_partition(terms: Array) -> Any:
    """Largest sum of convex terms: all agents at one facility."""
    return terms[:, 0].sum() + (terms[:, -1] - terms[:, 0]).max()


def _number(array: Array) -> Any:
    """Return the one entry of an array of no axes."""
    return np.asarray(array).item()


def _populations(agents: Any, facilities: int) -> list[tuple[int, list[tuple[int, ...]]]]:
    if is_whole(agents):
        agents = [(agents, [(facility,) for facility in range(facilities)])]
    try:
        groups = [
            (size, [tuple(_members(bundle)) for bundle in actions]) for size, actions in agents
        ]
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidGameError):
            raise
        raise InvalidGameError(
            f"agents are {agents!r}, must be their number or a sequence of (size, bundles)"
        ) from error
    if not groups:
        raise InvalidGameError("agents are empty: a game needs at least one agent")
    for number, (size, bundles) in enumerate(groups):
        if not is_whole(size) or size < 1:
            raise InvalidGameError(
                f"agents[population={number}] are {size!r}, must be a whole number >= 1"
            )
        if not bundles:
            raise InvalidGameError(f"agents[population={number}] have no actions")
    return [(int(size), bundles) for size, bundles in groups]


def _incidence(bundles: Bundles, facilities: int) -> Array:
    """Whether each action uses each facility: (A, F) of 0 and 1."""
    incidence = np.zeros((len(bundles), facilities), dtype=np.int64)
    for action, bundle in enumerate(bundles):
        for facility in bundle:
            if facility not in range(facilities):
                raise InvalidGameError(
                    f"action {action} uses facility {facility!r}, must be in 0..{facilities - 1}"
                )
            if incidence[action, facility]:
                raise InvalidGameError(f"action {action} uses facility {facility} twice")
            incidence[action, facility] = 1
    return incidence


def _members(bundle: Any) -> Iterable[Any]:
    if isinstance(bundle, Iterable) and not isinstance(bundle, str):
        return bundle
    raise InvalidGameError(f"{bundle!r} is no bundle: give the facilities of an action as a tuple")


def _identity(own: Array) -> Any:
    """Return a key that is equal for policies with the same entries (or the same enclosures)."""
    if not is_exact(own):
        return own.shape, own.tobytes()
    return own.shape, tuple(_entry_identity(entry) for entry in own.flat)


def _entry_identity(entry: Any) -> Any:
    if isinstance(entry, Ball):
        return entry.arb.mid().man_exp(), entry.arb.rad().man_exp()
    return entry if isinstance(entry, Hashable) else id(entry)
