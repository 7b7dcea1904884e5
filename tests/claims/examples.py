"""A small claim in every arithmetic, with a control that is false and one that is true."""

import numpy as np
from flint import fmpq

import pmdlib as pmd
from pmdlib.arithmetic import is_exact, to_float
from pmdlib.claims.claim import Claim, Comparison, Control, Instance
from pmdlib.games import catalogue


def instances(rng, sizes):
    game = catalogue.isolated()
    while True:
        yield Instance(game, pmd.random_policy(game, rng, batch=(4,)), "isolated")


def exactly(instance, value):
    """A rational for every policy of an instance, in the arithmetic of its game: (B,)."""
    table = np.full(instance.count, value, dtype=object)
    return table if is_exact(instance.game.initial) else to_float(table)


def compare(left, right, relation, tolerance=1e-12):
    """Both sides rational; floats where the instance is in floats."""

    def sides(instance):
        pair = exactly(instance, left), exactly(instance, right)
        yield Comparison(*pair, tolerance, relation)

    return sides


def constant(left, right, relation="=="):
    return lambda: Comparison(*(np.full(1, x, dtype=object) for x in (left, right)), 0, relation)


FALSE = Control("false", "1 = 2", constant(fmpq(1), fmpq(2)))
TRUE = Control("true", "1 = 1", constant(fmpq(1), fmpq(1)))
CLAIM = Claim(
    name="example",
    tag="derived",
    label="none",
    statement="2 \\ge 1",
    notebook="00-example",
    hypotheses=(),
    instances=instances,
    compare=compare(fmpq(2), fmpq(1), ">="),
    controls=(FALSE,),
    sizes={"quick": 10, "full": 20},
)
