"""What policy mirror descent is compared with: other rules by which agents learn or plan.

Each is a `Learner`, so `run` takes it as it takes mirror descent. Symbols: π_i own policy, Q_i
averaged Q, d discounted occupancy of the present policy from ρ, η step. Softmax rules keep
log-policies, normalised: a shift of logits changes neither policy nor gradient.

A rule that says "needs the evaluation" looks, besides the averaged Q that it is told, at exact
occupancies or at the MDP that an agent faces: sampled feedback does not replace those.
"""

from pmdlib.learning.baselines.best_responses import FictitiousPlay, SequentialBestResponse
from pmdlib.learning.baselines.gradients import (
    Decay,
    EntropyRegularised,
    NaturalGradient,
    OptimisticKL,
    ProjectedGradient,
    SoftmaxGradient,
)
from pmdlib.learning.baselines.planning import JointPolicyIteration, best_joint_policy, joint_mdp

__all__ = [
    "Decay",
    "EntropyRegularised",
    "FictitiousPlay",
    "JointPolicyIteration",
    "NaturalGradient",
    "OptimisticKL",
    "ProjectedGradient",
    "SequentialBestResponse",
    "SoftmaxGradient",
    "best_joint_policy",
    "joint_mdp",
]
