"""Learners: how all agents move at once from what they see of an iterate to the next one.

`run` goes through the iterates of any learner. Policy mirror descent is `MirrorDescent`; what it
is compared with is in `baselines`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import Array, log
from pmdlib.errors import PmdError
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.profiles import each_agent
from pmdlib.learning.mirror_maps import MirrorMap


@dataclass(frozen=True)
class Sight:
    """What the agents see when they move.

    Attributes
    ----------
    evaluation : Evaluation
        Of the present policy: averaged rewards, values, occupancies, all exact.
    averaged_q : sequence of N arrays (..., S, A_i)
        The feedback, exact or sampled. A learner that is to work with feedback uses only this.
    step : float, or an exact number
        The step size η_t.
    iteration : int
        Number of updates before this one.
    """

    evaluation: Evaluation
    averaged_q: Policy
    step: Any
    iteration: int


class Learner(ABC):
    """A rule by which all agents learn. Its state is whatever it keeps of the past.

    Functions of a state return one array per agent; `each_agent` applies a function to all. For
    `variants`, in which only some agents move, a state is one array (..., S, A_i) per agent, or a
    dict of such families; what else a dict holds is shared by all.

    Examples
    --------
    Agents who go half of the way to a best response. In a game with a dominant action the gap
    halves at every update.

    >>> from pmdlib.games.profiles import each_agent
    >>> from pmdlib.learning.learners import Learner
    >>> from pmdlib.learning.pmd import run
    >>> class HalfWay(Learner):
    ...     name = "half-way"
    ...     uses_step = False
    ...
    ...     def begin(self, policy):
    ...         return policy
    ...
    ...     def policy(self, state):
    ...         return state
    ...
    ...     def move(self, state, sight):
    ...         def half_way(own, q):
    ...             return own / 2 + np.eye(q.shape[-1])[q.argmax(axis=-1)] / 2
    ...
    ...         return each_agent(half_way, state, sight.averaged_q)
    >>> game = pmd.TabularGame(np.array([[1.0, 0.0]]), np.eye(1), discount=0.0)
    >>> run(game, HalfWay(), step=1.0, iterations=4).nash_gap.tolist()
    [0.5, 0.25, 0.125, 0.0625]
    """

    #: The word for it in a `Trace` and in figures.
    name: str
    #: Whether an action of probability zero keeps it for ever.
    keeps_zeros: bool = False
    #: Whether the step size makes a difference.
    uses_step: bool = True

    def theory_step(self, game: MarkovGame) -> Any:
        """Step size for which theory promises convergence; PmdError where it names none."""
        raise PmdError(f"no theory gives a step for {self.name!r}: give a number, or `best_step`")

    def arrange(self, policy: Policy) -> Policy:
        """Return a policy in the form in which this learner keeps it: here as it is."""
        return policy

    @abstractmethod
    def begin(self, policy: Policy) -> Any:
        """Return the state from which learning starts at a policy."""

    @abstractmethod
    def policy(self, state: Any) -> Policy:
        """Policy of a state: N arrays (..., S, A_i)."""

    def log_policy(self, state: Any) -> Sequence[Array]:
        """Logarithm of the policy; to be given where the policy itself may underflow."""
        return each_agent(log, self.policy(state))

    @abstractmethod
    def move(self, state: Any, sight: Sight) -> Any:
        """Return the state after one update."""


class MirrorDescent(Learner):
    """Independent policy mirror descent: each agent steps on its own averaged Q.

    π_i^{t+1}(.|s) = argmax_p η <Q_i^t(s,.), p> - D_ψ(p, π_i^t(.|s)). The state is the coordinates.

    Parameters
    ----------
    mirror_map : MirrorMap
    """

    def __init__(self, mirror_map: MirrorMap) -> None:
        self.mirror_map = mirror_map
        self.name, self.keeps_zeros = mirror_map.name, mirror_map.keeps_zeros

    def theory_step(self, game: MarkovGame) -> Any:
        """Step size of the paper for this mirror map."""
        return self.mirror_map.theory_step(game, "paper")

    def begin(self, policy: Policy) -> Sequence[Array]:
        """Coordinates of the policy."""
        return each_agent(self.mirror_map.coordinates, policy)

    def policy(self, state: Sequence[Array]) -> Policy:
        """Policy with these coordinates."""
        return each_agent(self.mirror_map.policy, state)

    def log_policy(self, state: Sequence[Array]) -> Sequence[Array]:
        """Logarithm of the policy with these coordinates; it does not underflow."""
        return each_agent(self.mirror_map.log_policy, state)

    def move(self, state: Sequence[Array], sight: Sight) -> Sequence[Array]:
        """Step of the mirror map along η Q."""
        return each_agent(
            lambda own, q: self.mirror_map.step(own, sight.step * q), state, sight.averaged_q
        )
