"""Compiled updates against the plain update, and what is left to the plain update."""

import subprocess
import sys
import threading
from copy import deepcopy

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose, assert_array_equal

from pmdlib.analysis.policies import random_policy, uniform_policy
from pmdlib.analysis.values import Evaluation
from pmdlib.arithmetic import machine_code, to_exact, to_float
from pmdlib.games import catalogue
from pmdlib.games.families import FAMILIES, Shape, random_game
from pmdlib.games.tabular import TabularGame
from pmdlib.learning.compiled import compile_update
from pmdlib.learning.feedback import ExactFeedback, NoisyFeedback
from pmdlib.learning.iteration import LEAST_COMPILED
from pmdlib.learning.learners import MirrorDescent
from pmdlib.learning.mirror_maps import KL, Euclidean, MirrorMap, Tsallis
from pmdlib.learning.pmd import run, run_pmd

#: One update is some hundred roundings; each costs this much of the largest number that it meets.
ROUNDINGS = 200 * np.finfo(float).eps

#: Games of the catalogue that need more than `MOST_OPERATIONS`.
LARGE = {"distancing"}

SHAPES = {
    "one state": Shape((3, 4, 5), 1, 0.875),
    "no discount": Shape((2, 3), 2, 0.0),
    "states": Shape((3, 3, 3), 4, 0.875),
    "nearly deterministic": Shape((2, 4), 5, 63 / 64, kernel_concentration=0.02),
    "one agent": Shape((4,), 3, 0.5),
    "one action": Shape((3, 1, 2), 2, 0.5),
    "four agents": Shape((2, 2, 3, 2), 2, 29 / 32, zero_one=True),
}


def plain_update(game, mirror_map, coordinates, step):
    policy = tuple(mirror_map.policy(own) for own in coordinates)
    q = Evaluation(game, policy).averaged_q
    return [mirror_map.step(own, step * table) for own, table in zip(coordinates, q, strict=True)]


def assert_follows(game, mirror_map, paths, step):
    """Every row is the plain update of the row before, so no error can hide in the dynamics."""
    expected = plain_update(game, mirror_map, [path[:-1] for path in paths], step)
    gradient = step * game.reward_bound / (1 - game.discount)
    for path, following in zip(paths, expected, strict=True):
        assert_array_equal(np.isneginf(path[1:]), np.isneginf(following))
        known = np.isfinite(following)
        error = abs(path[1:][known] - following[known])
        assert (error <= ROUNDINGS * (1 + abs(following[known]) + gradient)).all()


def start(game, mirror_map, rng, batch=()):
    policy = random_policy(game, rng, batch=batch)
    return tuple(mirror_map.coordinates(own) for own in policy)


@pytest.mark.parametrize("step", [0.01, 0.1, 5.0, 50.0])
@pytest.mark.parametrize("mirror_map", [KL(), Euclidean()], ids=lambda m: m.name)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_iterate_is_the_plain_update_of_the_one_before(family, shape, mirror_map, step, rng):
    game = random_game(rng, family, shape)
    update = compile_update(game, mirror_map)
    begin = start(game, mirror_map, rng, batch=(2, 3))
    paths = update.run(begin, step, 60)
    for path, own, actions in zip(paths, begin, game.num_actions, strict=True):
        assert path.shape == (61, 2, 3, game.num_states, actions)
        assert path.flags.c_contiguous
        assert_array_equal(path[0], own)
    assert_follows(game, mirror_map, paths, step)


@pytest.mark.parametrize("mirror_map", [KL(), Euclidean()], ids=lambda m: m.name)
def test_each_start_of_a_batch_runs_by_itself(mirror_map, rng):
    game = random_game(rng, "shaped", SHAPES["states"])
    update = compile_update(game, mirror_map)
    begin = start(game, mirror_map, rng, batch=(4,))
    together = update.run(begin, 0.3, 50)
    for k in range(4):
        alone = update.run(tuple(own[k] for own in begin), 0.3, 50)
        for path, own in zip(together, alone, strict=True):
            assert_array_equal(path[:, k], own)


@pytest.mark.parametrize("mirror_map", [KL(), Euclidean()], ids=lambda m: m.name)
def test_a_run_can_be_cut_in_pieces(mirror_map, rng):
    game = random_game(rng, "congestion", SHAPES["states"])
    update = compile_update(game, mirror_map)
    whole = update.run(start(game, mirror_map, rng), 0.3, 50)
    first = update.run(tuple(path[0] for path in whole), 0.3, 20)
    rest = update.run(tuple(path[-1] for path in first), 0.3, 30)
    for path, head, tail in zip(whole, first, rest, strict=True):
        assert_array_equal(path, np.concatenate([head[:-1], tail]))
    nothing = update.run(tuple(path[-1] for path in first), 0.3, 0)
    for head, none in zip(first, nothing, strict=True):
        assert_array_equal(none, head[-1:])


@pytest.mark.parametrize("mirror_map", [KL(), Euclidean()], ids=lambda m: m.name)
def test_a_whole_run_that_contracts_agrees_with_the_plain_loop(mirror_map, rng):
    """5000 iterations to a strict equilibrium, from which errors do not grow."""
    game = TabularGame(rng.random((1, 3, 4, 5)), np.ones((1, 1)), discount=0.9)
    coordinates = [mirror_map.coordinates(own) for own in uniform_policy(game)]
    paths = compile_update(game, mirror_map).run(tuple(coordinates), 0.1, 5000)
    plain = [coordinates]
    for _ in range(5000):
        plain.append(plain_update(game, mirror_map, plain[-1], 0.1))
    for path, own in zip(paths, zip(*plain, strict=True), strict=True):
        assert_allclose(path, np.stack(own), rtol=1e-11, atol=1e-12)


def test_log_policies_far_below_the_smallest_float(rng):
    """At η = 5 a probability falls below 1e-80 at once, and below 1e-10000 in time."""
    game = random_game(rng, "identical-interest", SHAPES["states"])
    begin = tuple(np.log(own) for own in uniform_policy(game))
    paths = compile_update(game, KL()).run(begin, 5.0, 5000)
    assert min(path[-1].min() for path in paths) < -23_000
    assert_follows(game, KL(), paths, 5.0)
    for path in paths:
        assert_allclose(np.exp(path).sum(axis=-1), 1, rtol=1e-13)


def test_a_probability_of_zero_stays_zero(rng):
    game = random_game(rng, "shaped", SHAPES["states"])
    begin = start(game, KL(), rng)
    begin[0][1, 0] = begin[1][2, 1:] = -np.inf
    begin[1][2, 0] = 0.0
    paths = compile_update(game, KL()).run(begin, 0.5, 100)
    for path, own in zip(paths, begin, strict=True):
        assert not np.isnan(path).any()
        assert_array_equal(np.isneginf(path), np.broadcast_to(np.isneginf(own), path.shape))
    assert_follows(game, KL(), paths, 0.5)


def test_what_is_not_a_number_shows_and_stays(rng):
    game = random_game(rng, "shaped", SHAPES["states"])
    for mirror_map in (KL(), Euclidean()):
        begin = start(game, mirror_map, rng)
        begin[0][0, 0] = np.nan
        paths = compile_update(game, mirror_map).run(begin, 0.5, 5)
        assert all(np.isnan(path[2:]).any(axis=(1, 2)).all() for path in paths)


def test_euclidean_steps_against_rationals():
    """Dyadic game, policy and step: with no discount every operation is exact but division by 3."""
    rewards = np.arange(24).reshape(1, 2, 3, 4) % 7 / 8
    game = TabularGame(rewards, np.ones((1, 1)), discount=0.0)
    exact = game.exact()
    policy = (
        np.array([[1 / 4, 3 / 4]]),
        np.array([[1 / 2, 1 / 4, 1 / 4]]),
        np.array([[1 / 8, 5 / 8, 0, 1 / 4]]),
    )
    paths = compile_update(game, Euclidean()).run(policy, 0.25, 8)
    rational = [to_exact(own) for own in policy]
    for t in range(9):
        for path, own in zip(paths, rational, strict=True):
            assert_allclose(path[t], to_float(own), rtol=0, atol=4e-16 * (t > 0))
        rational = plain_update(exact, Euclidean(), rational, fmpq(1, 4))


# One compilation for all games of a shape


@pytest.fixture
def compilations(monkeypatch):
    texts = []

    class Counted(machine_code.Loop):
        def __init__(self, text):
            texts.append(text)
            super().__init__(text)

    monkeypatch.setattr(machine_code, "Loop", Counted)
    machine_code._compile.cache_clear()
    return texts


def test_games_of_one_shape_share_the_code_and_nothing_else(compilations, rng):
    games = [random_game(rng, "shaped", SHAPES["states"]) for _ in range(3)]
    games.append(random_game(rng, "shaped", Shape((3, 3, 3), 4, 0.5, zero_one=True)))
    updates = [compile_update(game, KL()) for game in games]
    assert len(compilations) == 1
    for game, update in zip(games, updates, strict=True):
        _ = game.phi_max, game.reward_bound
        assert_follows(game, KL(), update.run(start(game, KL(), rng), 0.2, 20), 0.2)
        assert compile_update(game, KL()).loop is update.loop
    assert compile_update(games[0], Euclidean()).loop is not updates[0].loop
    assert len(compilations) == 2


def test_what_a_game_remembers_does_not_enter_the_code(compilations, rng):
    games = [random_game(rng, "congestion", SHAPES["states"]) for _ in range(2)]
    for game in games:
        _ = Evaluation(game, uniform_policy(game)).averaged_q
        compile_update(game, KL())
    assert len(compilations) == 1


def test_many_threads_compile_and_run(compilations, rng):
    games = [random_game(rng, "shaped", SHAPES["states"]) for _ in range(4)]
    begin = start(games[0], KL(), rng)
    barrier, found = threading.Barrier(8), [None] * 8

    def work(place):
        barrier.wait()
        found[place] = compile_update(games[place % 4], KL()).run(begin, 0.2, 300)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compilations) == 1
    for place in range(4):
        assert_follows(games[place], KL(), found[place], 0.2)
        for own, other in zip(found[place], found[place + 4], strict=True):
            assert_array_equal(own, other)


# Mirror maps of users


class Entropy(MirrorMap):
    """KL in dual coordinates, with the default step and functions of NumPy."""

    name = "entropy"

    def divergence(self, new, old):
        return (new * np.log(new / old)).sum(axis=-1)

    def coordinates(self, policy):
        return np.log(policy)

    def policy(self, coordinates):
        weights = np.exp(coordinates)
        return weights / weights.sum(axis=-1, keepdims=True)


class Branching(Entropy):
    def policy(self, coordinates):
        if (coordinates > 100).any():
            coordinates = coordinates - 100
        return super().policy(coordinates)


class Masking(Entropy):
    def policy(self, coordinates):
        return super().policy(np.where(coordinates > 0, coordinates, 0))


class Fading(Entropy):
    """Its steps shrink: it counts them."""

    def __init__(self):
        self.steps = 0

    def step(self, coordinates, gradient):
        self.steps += 1
        return coordinates + gradient / self.steps


class Noisy(Entropy):
    def __init__(self):
        self.rng = np.random.default_rng(1)

    def step(self, coordinates, gradient):
        return coordinates + gradient + self.rng.normal(size=gradient.shape)


class Misshapen(Entropy):
    def step(self, coordinates, gradient):
        return (coordinates + gradient)[..., :1]


class Temperate(Entropy):
    """A map with a parameter."""

    def __init__(self, temperature):
        self.temperature = temperature

    def step(self, coordinates, gradient):
        return coordinates + gradient / self.temperature


@pytest.mark.parametrize("mirror_map", [Entropy(), Temperate(2.0), Temperate(3.0)], ids="012")
def test_a_map_of_a_user_is_compiled_as_it_is_written(mirror_map, rng):
    game = random_game(rng, "shaped", SHAPES["states"])
    paths = compile_update(game, mirror_map).run(start(game, mirror_map, rng), 0.1, 50)
    assert_follows(game, mirror_map, paths, 0.1)


@pytest.mark.parametrize(
    "kind", [Branching, Masking, Fading, Noisy, Misshapen, Tsallis], ids=lambda c: c.__name__
)
def test_a_map_that_cannot_be_recorded_is_left_alone(kind, rng):
    mirror_map = kind()
    before = deepcopy(vars(mirror_map))
    game = random_game(rng, "shaped", SHAPES["states"])
    assert compile_update(game, mirror_map) is None
    for name, value in vars(mirror_map).items():  # not even a random number is used up
        assert repr(value) == repr(before[name]) or value.random() == before[name].random()


def test_a_patched_map_runs_patched(monkeypatch, rng):
    """The code is recorded anew each time, so no run is one of lines that are gone."""
    game = random_game(rng, "shaped", SHAPES["states"])
    begin = start(game, KL(), rng)
    compile_update(game, KL())
    step = KL.step
    monkeypatch.setattr(KL, "step", lambda self, own, gradient: step(self, own, -gradient))
    assert_follows(game, KL(), compile_update(game, KL()).run(begin, 0.1, 20), 0.1)


# Games that are left to the plain update


class Halved(TabularGame):
    """A table with rules of its own."""

    def average_rewards(self, policy):
        return tuple(part / 2 for part in super().average_rewards(policy))


def test_only_tables_of_floats_are_compiled(rng):
    game = random_game(rng, "identical-interest", SHAPES["no discount"])
    assert compile_update(game, KL()) is not None
    assert compile_update(game.exact(), KL()) is None
    assert compile_update(Halved(game.rewards[0], game.kernel, discount=0.0), KL()) is None


def test_large_games_are_not_compiled(rng):
    game = random_game(rng, "identical-interest", SHAPES["states"])
    for most in (100, 2000):  # too many numbers; too many operations
        assert compile_update(game, KL(), most=most) is None
    assert compile_update(game, KL(), most=5000) is not None


def test_without_llvm_there_is_no_compiled_update(monkeypatch, rng):
    game = random_game(rng, "identical-interest", SHAPES["no discount"])
    machine_code._compile.cache_clear()
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    assert compile_update(game, KL()) is None


def test_llvm_is_not_loaded_before_it_is_needed():
    lines = "import sys, pmdlib, pmdlib.learning.compiled; sys.exit('llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", lines], check=False).returncode == 0


@pytest.mark.parametrize("name", catalogue.CATALOGUE)
def test_the_games_of_the_catalogue_are_compiled_if_they_are_small(name):
    game = catalogue.CATALOGUE[name]().rounded()
    update = compile_update(game, Euclidean())
    assert (update is None) == (name in LARGE)
    if update:
        paths = update.run(tuple(uniform_policy(game)), 0.1, 30)
        assert_follows(game, Euclidean(), paths, 0.1)


# Who is compiled


def plain_and_long(game, **options):
    """Runs below and above the length from which runs are compiled."""
    runs = []
    for iterations in (LEAST_COMPILED - 1, LEAST_COMPILED):
        trace = run(game, iterations=iterations, **options)
        runs.append(trace.nash_gap[: LEAST_COMPILED - 1])
    return runs


def test_a_learner_or_feedback_of_ones_own_is_never_replaced(rng):
    class Lazy(MirrorDescent):
        def move(self, state, sight):
            return state

    class Reversed(ExactFeedback):
        def averaged_q(self, evaluation):
            return tuple(-q for q in super().averaged_q(evaluation))

    game = small(rng)
    for options in (
        {"learner": Lazy(KL()), "step": 0.1},
        {"learner": MirrorDescent(KL()), "step": 0.1, "feedback": Reversed()},
    ):
        short, long = plain_and_long(game, **options)
        assert (short == long).all()


def test_no_noise_is_the_exact_run_bit_for_bit_however_long(rng):
    game = small(rng)
    silent = NoisyFeedback(np.random.default_rng(0), 0.0)
    exact = run_pmd(game, "kl", 0.1, LEAST_COMPILED)
    quiet = run_pmd(game, "kl", 0.1, LEAST_COMPILED, feedback=silent)
    assert (exact.nash_gap == quiet.nash_gap).all()


def small(rng):
    return TabularGame(rng.random((1, 2, 3)), np.eye(1), discount=0.0)
