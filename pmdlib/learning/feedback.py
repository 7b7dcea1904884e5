"""Feedback: what agents learn about their averaged Q, exactly or from play."""

from abc import ABC, abstractmethod

from pmdlib.analysis.values import Evaluation
from pmdlib.games.game import Policy


class Feedback(ABC):
    """What the agents are told of their averaged Q under the present policy."""

    @abstractmethod
    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return (an estimate of) the averaged Q of each agent: N arrays (..., S, A_i)."""


class ExactFeedback(Feedback):
    """The averaged Q itself: the full information that the paper assumes."""

    def averaged_q(self, evaluation: Evaluation) -> Policy:
        """Return the averaged Q of each agent, exactly."""
        return evaluation.averaged_q
