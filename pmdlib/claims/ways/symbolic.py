"""Symbolic proofs: identities of generic games, in which every number is a symbol of its own.

The same sides that are computed from floats are computed here from SymPy symbols, and their
difference is shown to be zero as a rational function: a proof for all games of that shape.
"""

from functools import reduce
from typing import Any

import numpy as np
import sympy
from flint import fmpz_mpoly, fmpz_mpoly_ctx

from pmdlib.arithmetic import Array
from pmdlib.claims.claim import Claim, Instance
from pmdlib.claims.ways.evidence import Evidence
from pmdlib.errors import PmdError
from pmdlib.games.game import Policy
from pmdlib.games.tabular import TabularGame

STATES, AGENTS, ACTIONS = 2, 2, 2


def symbols(name: str, shape: tuple[int, ...]) -> Array:
    """Positive symbols with the indices of an array in their names.

    They begin with ``name``; the array has this ``shape``.
    """
    table = np.empty(shape, dtype=object)
    for index in np.ndindex(*shape):
        table[index] = sympy.Symbol(f"{name}_{''.join(map(str, index))}", positive=True)
    return table


def distributions(name: str, shape: tuple[int, ...], outcomes: int = 2) -> Array:
    """Return generic distributions (*shape, outcomes); the last probability is what is left."""
    free = symbols(name, (*shape, outcomes - 1))
    return np.concatenate([free, 1 - free.sum(axis=-1, keepdims=True)], axis=-1)


def generic_step(actions: int = 3) -> tuple[Array, Array]:
    """Return a generic policy of one agent in one state and what a step adds to it: (1, A)."""
    return distributions("p", (1,), actions), symbols("g", (1, actions))


def generic_policy(name: str) -> Policy:
    """Return a generic policy, a batch of one: arrays (1, S, A_i)."""
    return tuple(distributions(f"{name}{agent}", (1, STATES)) for agent in range(AGENTS))


def generic_game(*, potential: bool) -> TabularGame:
    """Return a generic game of two agents with two actions and two states.

    Parameters
    ----------
    potential : bool
        Rewards are φ + h_i(s) - γ E h_i(s') for a generic φ and generic h_i, in place of one symbol
        for each entry: a Markov potential game. Without it, φ is a generic table beside them.
    """
    shape = (STATES, *[ACTIONS] * AGENTS)
    kernel = distributions("P", shape)
    discount = sympy.Symbol("gamma", positive=True)
    stage = symbols("phi", shape)
    rewards = [symbols(f"r{agent}", shape) for agent in range(AGENTS)]
    if potential:
        shaping = [symbols(f"h{agent}", (STATES,)) for agent in range(AGENTS)]
        rewards = [
            stage + bonus[:, None, None] - discount * (kernel * bonus).sum(axis=-1)
            for bonus in shaping
        ]
    return TabularGame(
        rewards,
        kernel,
        discount=discount,
        initial=distributions("rho", ()),
        potential=stage,
    )


def generic_instance(*, potential: bool, agent: int = 0) -> Instance:
    """Return a generic game with a policy and a target policy, as the identities take them.

    ``potential`` asks for a Markov potential game, see `generic_game`; ``agent`` is the one that
    moves.
    """
    extra = {"target": generic_policy("q"), "agent": agent}
    game = generic_game(potential=potential)
    return Instance(game, generic_policy("p"), "generic 2 agents x 2 actions x 2 states", extra)


def check_symbolically(
    claim: Claim, rng: np.random.Generator, profile: str, count: int | None = None
) -> Evidence | None:
    """Prove the equalities of a claim for generic games.

    Returns
    -------
    Evidence, or None if the claim has no symbolic form
        One instance for each pair of sides; those whose difference is not shown to be zero count
        as undecided. There is nothing random here, and nothing to choose.
    """
    if claim.symbolic is None:
        return None
    proved, undecided = 0, []
    for comparison in claim.symbolic():
        left, right = np.broadcast_arrays(comparison.left, comparison.right)
        for one, other in zip(left.flat, right.flat, strict=True):
            if is_zero(one - other):
                proved += 1
            else:
                undecided.append(comparison.part)
    report = {"instances": proved, "failures": 0, "undecided": len(undecided)}
    return Evidence("symbolic", proved, 0, report, tuple(dict.fromkeys(undecided)))


def is_zero(expression: Any) -> bool:
    """Say whether an expression is zero as a rational function of its symbols.

    Logarithms are expanded first, as they may be where their arguments are positive; logarithms and
    exponentials that remain count as symbols of their own. So True is a proof there, and False only
    says that this proof was not found.
    """
    expression = sympy.sympify(expression)
    if expression.has(sympy.log):
        expression = sympy.expand_log(expression, force=True)
    atoms = sorted(expression.atoms(sympy.Symbol, sympy.log, sympy.exp), key=str)
    names = {atom: sympy.Symbol(f"x{k}") for k, atom in enumerate(atoms)}
    ring = fmpz_mpoly_ctx.get(["one", *map(str, names.values())], "lex")
    expression = expression.xreplace(names)
    numerator, _ = _quotient(expression, ring, {})
    return not numerator


Quotient = tuple[fmpz_mpoly, fmpz_mpoly]


def _quotient(node: Any, ring: fmpz_mpoly_ctx, known: dict[Any, Quotient]) -> Quotient:
    """Write an expression as a quotient of two polynomials without a common factor."""
    if node in known:
        return known[node]
    one = ring.constant(1)
    if isinstance(node, sympy.Symbol):
        result = (ring.gens()[ring.variable_to_index(str(node))], one)
    elif isinstance(node, sympy.Rational):
        result = (ring.constant(int(node.p)), ring.constant(int(node.q)))
    elif isinstance(node, sympy.Pow) and isinstance(node.exp, sympy.Integer):
        top, bottom = _quotient(node.base, ring, known)
        power = abs(int(node.exp))
        result = (top**power, bottom**power) if node.exp > 0 else (bottom**power, top**power)
    elif isinstance(node, sympy.Add | sympy.Mul):
        combine = _add if isinstance(node, sympy.Add) else _multiply
        result = reduce(combine, (_quotient(part, ring, known) for part in node.args))
    else:
        raise PmdError(f"{node} is no rational function of symbols")
    known[node] = result
    return result


def _add(left: Quotient, right: Quotient) -> Quotient:
    common = left[1].gcd(right[1])
    first, second = right[1] / common, left[1] / common
    return _reduced(left[0] * first + right[0] * second, left[1] * first)


def _multiply(left: Quotient, right: Quotient) -> Quotient:
    return _reduced(left[0] * right[0], left[1] * right[1])


def _reduced(top: fmpz_mpoly, bottom: fmpz_mpoly) -> Quotient:
    common = top.gcd(bottom)
    return top / common, bottom / common
