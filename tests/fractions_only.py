"""Recompute a stored or found witness in fractions.Fraction: tensors, loops, Gauss elimination.

Nothing here uses pmdlib but the tensors of a game.
"""

import itertools
from fractions import Fraction


def exact_values(game, policy, agent):
    """V_agent(s), from the floats of the game; policies are nested lists of fractions."""
    states, discount = range(game.num_states), Fraction(game.discount)
    rewards = [Fraction(0) for _ in states]
    system = [[Fraction(int(s == t)) for t in states] for s in states]
    tensor, kernel = game.rewards[agent], game.kernel
    for state in states:
        used = [[a for a, p in enumerate(own[state]) if p] for own in policy]
        for joint in itertools.product(*used):
            weight = Fraction(1)
            for own, action in zip(policy, joint, strict=True):
                weight *= own[state][action]
            rewards[state] += weight * Fraction(float(tensor[(state, *joint)]))
            row = kernel[state] if kernel.ndim == 2 else kernel[(state, *joint)]
            chances = [Fraction(float(p)) for p in row]
            for target in states:
                chance = chances[target] / sum(chances)  # rows sum to one exactly
                system[state][target] -= discount * weight * chance
    for pivot in states:  # diagonally dominant: no pivot vanishes
        for row in states:
            if row != pivot:
                factor = system[row][pivot] / system[pivot][pivot]
                system[row] = [
                    x - factor * y for x, y in zip(system[row], system[pivot], strict=True)
                ]
                rewards[row] -= factor * rewards[pivot]
    return [rewards[s] / system[s][s] for s in states]


def recomputed(game, stored):
    """Sum and value range of a witness in the form of Cycle.to_dict(): both as fractions."""
    start = [[[Fraction(p) for p in row] for row in own] for own in stored["start"]]
    moved = [[[Fraction(p) for p in row] for row in own] for own in stored["moved"]]
    for own in start + moved:
        assert all(sum(row) == 1 and min(row) >= 0 for row in own)
    (i, j), state = stored["agents"], stored["state"]
    corners, movers = [start], []
    for turn, own in enumerate([*moved, start[i], start[j]]):
        mover = (i, j)[turn % 2]
        corners.append(list(corners[-1]))
        corners[-1][mover] = own
        movers.append(mover)
    assert corners[-1] == start
    total, seen = Fraction(0), []
    for step, mover in enumerate(movers):
        before, after = (exact_values(game, c, mover) for c in corners[step : step + 2])
        total += after[state] - before[state]
        other = exact_values(game, corners[step], i + j - mover)
        seen += before + other
    return total, max(seen) - min(seen)
