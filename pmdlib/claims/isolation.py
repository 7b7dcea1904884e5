"""Assumption V.4: which fixed points are isolated, by Jacobians and by looking around them."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np

from pmdlib.analysis.fixed_points import (
    SINGULAR_TOLERANCE,
    ZERO_TOLERANCE,
    find_fixed_points,
    fixed_point_residual,
)
from pmdlib.analysis.fixed_points.exact_games import exact_game
from pmdlib.analysis.fixed_points.face_jacobians import jacobian
from pmdlib.analysis.fixed_points.faces import Support, dimension, faces_between
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import (
    Array,
    eye,
    is_exact,
    largest,
    rationals,
    smallest,
    solve,
    to_exact,
)
from pmdlib.claims.claim import (
    Claim,
    Comparison,
    Control,
    Hypothesis,
    Instance,
    Sizes,
    value_rounding,
)
from pmdlib.claims.instances import fixed_point_instance, small_game
from pmdlib.errors import NotConvergedError
from pmdlib.games import catalogue
from pmdlib.games.game import MarkovGame, Policy
from pmdlib.games.tabular import TabularGame


def _classified(rng: np.random.Generator, sizes: Sizes) -> Iterator[Instance]:
    """All fixed points of small games: catalogue, random ones, and ones with many ties."""
    named = ("isolated", "slow-switch", "slow-switch-from-uniform", "three-agents-degenerate")
    for name in named:
        yield fixed_point_instance(catalogue.CATALOGUE[name](), f"catalogue:{name}", rng)
    yield fixed_point_instance(catalogue.slow_switch(0.0), "catalogue:slow-switch, ε = 0", rng)
    yield fixed_point_instance(_corner_game(), "[[0,0],[0,1]]", rng)
    for number in count():
        degenerate, agents = number % 2 == 1, 3 if number % 6 >= 4 else 2
        game = small_game(rng, degenerate=degenerate, agents=agents)
        kind = "payoffs 0, ½, 1" if degenerate else "random payoffs"
        yield fixed_point_instance(game, f"{agents} agents, {kind}:{number}", rng)


def _corner_game() -> TabularGame:
    return catalogue.one_state([[0.0, 0.0], [0.0, 1.0]])


def _decided(instance: Instance) -> Array:
    return np.array([point.isolated is not None for point in instance.extra["points"]])


def _isolation_sides(instance: Instance) -> Iterator[Comparison]:
    """Compare what the Jacobians say with the enumeration, and with policies nearby.

    The enumeration solves the linear or quadratic equations of a face. It looks at no Jacobian,
    except with three agents where a face has an isolated point beside a continuum. Each part
    speaks of its own kind of point only; the last two of two agents only.
    """
    game = instance.game
    around = [
        _Surroundings(game, tuple(own[k] for own in instance.policy), point.support)
        for k, point in enumerate(instance.extra["points"])
    ]
    regular = np.array([around_one.regular for around_one in around])
    alone = np.array([bool(point.isolated) for point in instance.extra["points"]])
    pair = game.num_agents == 2
    tolerance = value_rounding(game)
    near = [
        around_one.nearby(np.random.default_rng(seed)) if around_one.regular else _NOTHING
        for around_one, seed in zip(around, instance.extra["seeds"], strict=True)
    ]
    yield Comparison(
        np.stack([residual for residual, _ in near]),
        np.stack([bound for _, bound in near]),
        tolerance,
        ">=",
        "if all Jacobians are regular, the residual nearby is at least what they say",
        regular,
    )
    yield Comparison(
        (alone & regular).astype(int),
        regular.astype(int),
        0.5,
        "==",
        "if all Jacobians are regular, the enumeration says isolated",
    )
    yield Comparison(
        alone.astype(int),
        regular.astype(int),
        0.5,
        "==",
        "two agents: isolated by the enumeration exactly if all Jacobians are regular",
        np.full(len(around), pair),
    )
    along = [
        around_one.along_continuum() if pair and not around_one.regular else 0
        for around_one in around
    ]
    yield Comparison(
        np.array(along)[:, None],
        0,
        1e3 * tolerance,
        "==",
        "two agents: where a Jacobian is singular, a segment of fixed points begins",
        ~regular & pair,
    )


SAMPLES = 16
_NOTHING = (np.zeros(SAMPLES, dtype=int), np.zeros(SAMPLES, dtype=int))

#: Probabilities of neighbours come from whole numbers up to this, in every arithmetic.
_PARTS = 8

#: Residual per unit length where no segment was found: certainly not 0.
_NO_SEGMENT = 1


class _Surroundings:
    """A fixed point of a one-state game, its ties, and the Jacobians of the faces between.

    Attributes
    ----------
    regularity : dict from a face to 1/‖J⁻¹‖, 0 if J is singular
        Moving the probabilities by z moves the indifferences by at least this times ‖z‖, both in
        the largest entry. Faces without free probabilities are left out.
    regular : bool
        Whether all are positive; the others are computed only if so.
    """

    def __init__(self, game: MarkovGame, policy: Policy, support: Support) -> None:
        self.game, self.policy, self.support = game, policy, support
        exact = is_exact(game.initial)
        self._zero = 0 if exact else ZERO_TOLERANCE * game.reward_bound
        self._singular = 0 if exact else SINGULAR_TOLERANCE * game.reward_bound
        self.advantages = [abs(part[0]) for part in Evaluation(game, policy).advantages]
        self.tied: Support = tuple(
            tuple(a for a, size in enumerate(own) if a in used or bool(size <= self._zero))
            for used, own in zip(support, self.advantages, strict=True)
        )
        self.regularity: dict[Support, Any] = {}
        for face in faces_between(support, self.tied):
            if dimension(face):
                self.regularity[face] = self._regularity(face)
                if self.regularity[face] == 0:
                    break
        self.regular = all(size != 0 for size in self.regularity.values())

    def _regularity(self, face: Support) -> Any:
        matrix = jacobian(self.game, self.policy, face)
        try:
            inverse = solve(matrix, eye(len(matrix), matrix))
        except NotConvergedError:
            return 0
        size = 1 / largest(abs(inverse).sum(axis=-1))
        return size if size > self._singular else 0

    @property
    def radius(self) -> Any:
        """How far, in total over the agents, mass may move so that `nearby` holds for certain.

        Moving r changes an advantage by at most 2r max|r_i|: one of size m keeps half of it while
        r <= m/(4 max|r_i|). With two agents the indifferences of a face move by exactly J z. With
        more there is a remainder of second order, at most 4r max|r_i| dim ‖z‖ for r <= 1: half of
        ‖z‖/‖J⁻¹‖ is left while r <= 1/(8 max|r_i| dim ‖J⁻¹‖).
        """
        bound = self.game.reward_bound
        limits = [size / (4 * bound) for size in self._untied()]
        if self.game.num_agents > 2:
            free = max(1, dimension(self.tied))
            limits += [size / (8 * bound * free) for size in self.regularity.values()]
        return smallest(np.array([_fraction(1, 1, self.policy[0]), *limits]))

    def _untied(self) -> list[Any]:
        return [
            own[a]
            for own, ties in zip(self.advantages, self.tied, strict=True)
            for a in range(len(own))
            if a not in ties
        ]

    def nearby(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Residual at random policies nearby, and the lower bound that isolates: (SAMPLES,).

        Where an untied action was opened, half of its advantage is left. Else the indifferences
        have moved, and of two actions that differ one has an advantage of half the difference.
        """
        moved, faces = self._perturb(rng)
        share = _fraction(1, 2 if self.game.num_agents <= 2 else 4, self.policy[0])
        bounds = []
        for k, face in enumerate(faces):
            opened = [
                own[a]
                for own, ties, used in zip(self.advantages, self.tied, face, strict=True)
                for a in used
                if a not in ties
            ]
            if opened:
                bounds.append(smallest(np.array(opened)) / 2)
                continue
            steps = [
                abs(new[k, 0, a] - old[0, a])
                for new, old, used in zip(moved, self.policy, face, strict=True)
                for a in used[1:]
            ]
            bounds.append(share * largest(np.array(steps)) * self.regularity[face])
        return np.asarray(fixed_point_residual(self.game, moved)), np.array(bounds)

    def _perturb(self, rng: np.random.Generator) -> tuple[Policy, list[Support]]:
        """Mix with random distributions on random faces that hold the support, all by integers."""
        agents, moved = self.game.num_agents, []
        movers = rng.integers(agents, size=SAMPLES)
        faces: list[Support] = [()] * SAMPLES
        for agent, (own, used) in enumerate(zip(self.policy, self.support, strict=True)):
            opened = rng.random((SAMPLES, own.shape[-1])) < 0.5
            opened[:, list(used)] = True
            opened[movers == agent] = True  # someone moves
            weights = opened * rng.integers(1, _PARTS, size=opened.shape, endpoint=True)
            target = _fraction(weights, weights.sum(axis=-1, keepdims=True), own)[:, None]
            parts = rng.integers(1, _PARTS, size=(SAMPLES, 1, 1), endpoint=True)
            share = _fraction(parts, np.array(2 * agents * _PARTS), own) * self.radius
            moved.append(own + share * (target - own))
            faces = [
                (*face, tuple(map(int, np.flatnonzero(row))))
                for face, row in zip(faces, opened, strict=True)
            ]
        return tuple(moved), faces

    def along_continuum(self) -> Any:
        """Residual half-way along a segment of fixed points that starts here, per unit length.

        `_NO_SEGMENT` if none is found. It starts on the face of the support, or on one with a
        single tied action more, along which only one agent moves.
        """
        faces = [self.support]
        for agent, (used, ties) in enumerate(zip(self.support, self.tied, strict=True)):
            for action in ties:
                if action not in used:  # the new action last: it may only gain mass
                    own = (*used, action)
                    faces.append((*self.support[:agent], own, *self.support[agent + 1 :]))
        for face in faces:
            if dimension(face):
                matrix = jacobian(self.game, self.policy, face)
                for direction in null_directions(matrix, self._singular):
                    for sign in (1, -1):
                        moved, length = self._follow(face, sign * direction)
                        if length > 1000 * self._zero:
                            return fixed_point_residual(self.game, moved) / length
        return _NO_SEGMENT

    def _follow(self, face: Support, direction: Array) -> tuple[Policy, Any]:
        """Go half-way to the boundary along a tangent direction: the policy, and how far it is."""
        changes, start = [], 0
        for own, actions in zip(self.policy, face, strict=True):
            step = direction[start : start + len(actions) - 1]
            change = 0 * own
            change[0, list(actions[1:])] = step
            change[0, actions[0]] = -step.sum()
            changes.append(change)
            start += len(actions) - 1
        length = min(
            old / -part
            for own, change in zip(self.policy, changes, strict=True)
            for old, part in zip(own[0], change[0], strict=True)
            if part < -self._zero
        )
        pairs = zip(self.policy, changes, strict=True)
        return tuple(own + length / 2 * change for own, change in pairs), length


def null_directions(matrix: Array, tolerance: Any) -> list[Array]:
    """Find a basis of the kernel of a matrix by row reduction, in any arithmetic.

    Each vector has a 1 at one column without a pivot, and zeros at the others: for the Jacobian of
    two agents in one state, whose blocks are off the diagonal, it moves a single agent.

    Parameters
    ----------
    matrix : ndarray (rows, columns)
    tolerance : number
        Pivots up to this size count as zero; 0 for exact numbers.
    """
    table = matrix.copy()
    pivots: list[int] = []
    for column in range(table.shape[1]):
        row = len(pivots)
        below = abs(table[row:, column])
        if not len(below) or not max(below) > tolerance:
            continue
        best = row + int(below.argmax())
        table[[row, best]] = table[[best, row]]
        table[row] = table[row] / table[row, column]
        others = [k for k in range(len(table)) if k != row]
        table[others] = table[others] - table[others, column][:, None] * table[row]
        pivots.append(column)
    basis = []
    for free in (column for column in range(table.shape[1]) if column not in pivots):
        vector = eye(table.shape[1], matrix)[free].copy()
        vector[pivots] = -table[: len(pivots), free]
        basis.append(vector)
    return basis


def _fraction(numerator: Any, denominator: Any, like: Array) -> Any:
    """Divide whole numbers in the arithmetic of ``like``."""
    top, bottom = np.broadcast_arrays(numerator, denominator)
    return rationals(top, bottom)[()] if is_exact(like) else (top / bottom)[()]


# Controls


def _pure(game: TabularGame, action: int) -> Array:
    return eye(2, game.initial)[[[action]]]


def _one_sided_tie() -> Comparison:
    """Trust the full-face Jacobian alone: [[0,1],[1,0]] at (row 1, column 1) of [[0,0],[0,1]]."""
    game = _corner_game().exact()
    corner = tuple(own[0] for own in (_pure(game, 0), _pure(game, 0)))
    matrix = jacobian(game, corner, ((0, 1), (0, 1)))
    regularity = 1 / largest(abs(solve(matrix, eye(2, matrix))).sum(axis=-1))
    tenth = _fraction(np.array([[9, 1]]), 10, corner[0])
    residual = fixed_point_residual(game, (corner[0], tenth))
    return Comparison(np.array([residual]), regularity * tenth[0, 1] / 2, 0, ">=")


def _support_alone() -> Comparison:
    """Trust the Jacobian of the support alone: at a corner it is empty, so none is singular."""
    found = find_fixed_points(_corner_game())
    corner = next(point for point in found.points if point.support == ((0,), (0,)))
    return Comparison(np.array([int(bool(corner.isolated))]), 1, 0, ">=")


def _continuum() -> Comparison:
    """slow-switch with ε = 0: all of row 1 is fixed, so residuals near it do not grow."""
    game = exact_game(catalogue.slow_switch(0.0))
    residual = fixed_point_residual(game, (_pure(game, 0)[0], _fraction([[1, 1]], 2, game.initial)))
    return Comparison(np.array([residual]), _fraction(1, 100, game.initial), 0, ">=")


def _isolated_is_quasi_strict() -> Comparison:
    """At (0, ½, ½) of the three-agent game the unused action has advantage 0, not below."""
    game = exact_game(catalogue.three_agents_degenerate())
    half = _fraction([[[1, 1]]], 2, game.initial)
    evaluation = Evaluation(game, (_pure(game, 0), half, half))
    return Comparison(evaluation.advantages[0][..., 1], _fraction(-1, 100, game.initial), 0, "<=")


def double_root() -> TabularGame:
    """Three agents gain y - z, x - z, (x + y)/2 - xy - ¼ by their second actions, over rationals.

    On the diagonal that the first two leave open the third gains -(z - ½)²: a double root at ½,
    alone though the Jacobian is singular. The game has no potential.
    """
    x, y, z = np.indices((2, 2, 2))
    gains = (4 * x * (y - z), 4 * y * (x - z), z * (2 * (x + y) - 4 * x * y - 1))
    tables = [_fraction(gain[None], 4, np.empty(0, dtype=object)) for gain in gains]
    return TabularGame(tables, to_exact(np.eye(1)), discount=0)


def _converse_for_three() -> Comparison:
    """Claim that singular means not isolated, for three agents."""
    found = find_fixed_points(double_root())
    point = next(p for p in found.points if p.support == ((0, 1),) * 3)
    around = _Surroundings(found.game, point.enclosure or (), point.support)
    return Comparison(
        np.array([int(bool(point.isolated))]), np.array([int(around.regular)]), 0, "<="
    )


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="isolated-fixed-points",
        tag="derived",
        label="Assumption V.4",
        statement=(
            r"\text{non-singular Jacobians on all faces } \operatorname{supp}\pi \subseteq B'"
            r" \subseteq \{a : \bar A_i(a) = 0\} \implies \pi \text{ isolated; and conversely for"
            r" } N = 2 \text{ with one state}"
        ),
        notebook="06-isolated-fixed-points",
        hypotheses=(Hypothesis("the enumeration decides", _decided),),
        instances=_classified,
        compare=_isolation_sides,
        controls=(
            Control(
                "full-face-only",
                "the Jacobian of the largest face alone, at (row 1, column 1) of [[0,0],[0,1]]",
                _one_sided_tie,
            ),
            Control(
                "support-only",
                "the Jacobian of the support alone: [[0,0],[0,1]], (row 1, column 1), isolated or "
                "not (1 or 0)",
                _support_alone,
            ),
            Control(
                "continuum", "isolated although ε = 0, on row 1 of the slow-switch game", _continuum
            ),
            Control(
                "quasi-strict",
                "isolated implies quasi-strict, at (0, ½, ½) of the three-agent game",
                _isolated_is_quasi_strict,
            ),
            Control(
                "converse-three-agents",
                "isolated implies regular for three agents too: a double root at (½, ½, ½), "
                "isolated (1) but singular (0)",
                _converse_for_three,
            ),
        ),
        sizes={"quick": 300, "full": 4000},
    ),
)
