"""The distancing game: an exact iteration against one that samples, as scripts for this game do."""

import numpy as np
from benchmarks.measuring import Row, compared, compared_afresh, duration

import pmdlib as pmd
from pmdlib.games import catalogue

#: What is asked for: an exact iteration over a sampled one.
GOAL = 1 / 300

HORIZON, SAMPLES, STEP, DISCOUNT = 20, 10, 1e-4, 0.99
AGENTS, FACILITIES, STATES = 8, 4, 2
WEIGHTS = (1, 2, 4, 6)

ITERATIONS = 60


# The sampled iteration. The public scripts for this game (Leonardos et al. 2022, and others after
# them) are like this: policies in a dictionary, an action at a time from np.random.choice, values
# and visits by SAMPLES roll-outs of HORIZON steps from each state, Q by SAMPLES single steps for
# each agent, state and action, and a projected gradient step.


def pick(probabilities):
    return np.random.choice(range(len(probabilities)), 1, p=probabilities)[0]  # noqa: NPY002


def joint_action(policy, state):
    return [pick(policy[state, agent]) for agent in range(AGENTS)]


def loads(actions):
    return [actions.count(facility) for facility in range(FACILITIES)]


def pay(state, actions):
    load = loads(actions)
    return [WEIGHTS[own] * load[own] - 100 * state for own in actions]


def following(state, actions):
    most = max(loads(actions))
    return int(most > AGENTS / 2 if state == 0 else most > AGENTS / 4)


def visits(start, policy):
    count = {state: np.zeros(HORIZON) for state in range(STATES)}
    for _ in range(SAMPLES):
        state = start
        for time in range(HORIZON):
            count[state][time] += 1
            state = following(state, joint_action(policy, state))
    return [np.dot(each / SAMPLES, DISCOUNT ** np.arange(HORIZON)) for each in count.values()]


def sampled_values(policy):
    value = dict.fromkeys(((s, i) for s in range(STATES) for i in range(AGENTS)), 0.0)
    for _ in range(SAMPLES):
        for start in range(STATES):
            state = start
            for time in range(HORIZON):
                actions = joint_action(policy, state)
                rewards = pay(state, actions)
                for agent in range(AGENTS):
                    value[start, agent] += DISCOUNT**time * rewards[agent] / SAMPLES
                state = following(state, actions)
    return value


def sampled_q(agent, state, action, policy, value):
    total = 0.0
    for _ in range(SAMPLES):
        actions = joint_action(policy, state)
        actions[agent] = action
        next_state = following(state, actions)
        total += pay(state, actions)[agent] + DISCOUNT * value[next_state, agent]
    return total / SAMPLES


def project(point):
    ordered = np.sort(point)[::-1]
    excess = np.cumsum(ordered) - 1
    size = np.arange(len(point)) + 1
    support = ordered - excess / size > 0
    return np.maximum(point - excess[support][-1] / size[support][-1], 0)


def sampled_iteration(policy):
    visited = np.mean([visits(start, policy) for start in range(STATES)], axis=0)
    value = sampled_values(policy)
    q = {
        (state, agent): np.array(
            [sampled_q(agent, state, action, policy, value) for action in range(FACILITIES)]
        )
        for state in range(STATES)
        for agent in range(AGENTS)
    }
    return {
        (state, agent): project(own + STEP * visited[state] * q[state, agent])
        for (state, agent), own in policy.items()
    }


def exact_over_sampled(pairs: int = 5) -> tuple[float, float]:
    """Seconds of an exact iteration (gap and constant c included), and its ratio to a sampled."""
    np.random.seed(0)  # noqa: NPY002
    game = catalogue.distancing(AGENTS, FACILITIES)
    even = {(s, i): [1 / FACILITIES] * FACILITIES for s in range(STATES) for i in range(AGENTS)}
    moved = sampled_iteration(even)
    np.testing.assert_allclose([own.sum() for own in moved.values()], 1)
    time, ratio = compared(
        lambda: pmd.run_pmd(game, "euclidean", STEP, ITERATIONS, progress=False),
        lambda: sampled_iteration(even),
        pairs,
    )
    return time / ITERATIONS, ratio / ITERATIONS


def rows() -> list[Row]:
    time, ratio = compared_afresh("distancing.exact_over_sampled()")
    return [
        Row(
            f"exact iteration over a sampled one, distancing game, {AGENTS} agents",
            f"1/{1 / ratio:.0f} ({duration(time)}; sampled {duration(time / ratio)})",
            f"1/{1 / GOAL:.0f}",
            ratio / GOAL,
        )
    ]
