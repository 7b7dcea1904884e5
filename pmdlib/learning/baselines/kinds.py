"""Learners by what they keep: the policy itself, or its logarithm."""

from collections.abc import Sequence
from typing import Any

from pmdlib.arithmetic import (
    Array,
    exp,
    log,
)
from pmdlib.games.game import Policy
from pmdlib.games.profiles import each_agent
from pmdlib.learning.learners import Learner


class PolicyLearner(Learner):
    """A learner whose state is the policy itself."""

    def begin(self, policy: Policy) -> Policy:
        """Return the policy."""
        return policy

    def policy(self, state: Policy) -> Policy:
        """Return the state."""
        return state


class SoftmaxLearner(Learner):
    """A learner whose state is the log-policy, which does not underflow."""

    keeps_zeros = True

    def begin(self, policy: Policy) -> Any:
        """Logarithm of the policy."""
        return each_agent(log, policy)

    def policy(self, state: Any) -> Policy:
        """Exponential of the log-policy."""
        return each_agent(exp, self.log_policy(state))

    def log_policy(self, state: Any) -> Sequence[Array]:
        """Return the state."""
        family: Sequence[Array] = state
        return family
