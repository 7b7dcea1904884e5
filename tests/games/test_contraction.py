"""Averages over the others: read once or twice, exact or not, against one einsum an agent."""

import tracemalloc

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_allclose

from pmdlib.arithmetic import to_exact
from pmdlib.games import contraction
from pmdlib.games.contraction import average_over_others
from pmdlib.games.profiles import Profile, Roster, stacked
from pmdlib.games.tabular import TabularGame


def by_einsum(tensor, actions, policy):
    """Average by one contraction an agent: tensor (n, S, K, joint), policy (..., S, A_i)."""
    table = tensor.reshape(*tensor.shape[:3], *actions)
    agents, own_axis = range(len(actions)), 3
    averages = []
    for agent in agents:
        operands = [table[agent if len(table) > 1 else 0], [0, 1, *(own_axis + j for j in agents)]]
        for other in agents:
            if other != agent:
                operands += [policy[other], [..., 0, own_axis + other]]
        averages.append(np.einsum(*operands, [..., 0, 1, own_axis + agent], optimize=True))
    return averages


SHAPES = {
    "even": (2,) * 10,
    "ragged": (3, 2, 1, 5, 4, 2, 3),
    "one wide agent first": (300, 2, 2),
    "one wide agent last": (2, 2, 300),
    "a single action": (1, 1, 40, 1),
    "two agents": (31, 37),
    "rows too wide to be read once": (2, 3000),
}


def set_large(monkeypatch, size):
    monkeypatch.setattr(contraction, "LARGE", size)
    monkeypatch.setattr(contraction, "LARGE_OWN", size)


@pytest.fixture(params=["by NumPy", "streamed"])
def readings(request, monkeypatch):
    """Every tensor of floats is streamed, in short rows, or none is: the same numbers."""
    set_large(monkeypatch, {"streamed": 0, "by NumPy": np.inf}[request.param])
    monkeypatch.setattr(contraction, "ROW", 2**3)


@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize("actions", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("own", [False, True], ids=["shared", "one each"])
@pytest.mark.parametrize(("states", "channels"), [(1, 1), (3, 1), (1, 4), (2, 3)])
def test_averages_are_an_einsum_per_agent(actions, batch, own, states, channels, rng):
    tensors = len(actions) if own else 1
    tensor = rng.normal(size=(tensors, states, channels, int(np.prod(actions))))
    policy = [rng.random((*batch, states, m)) for m in actions]
    (found,) = average_over_others([tensor], policy)
    expected = by_einsum(tensor, actions, policy)
    ((largest, *_),) = average_over_others([abs(tensor)], policy)
    scale = abs(largest).max()
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert_allclose(one, other, rtol=1e-11, atol=1e-13 * scale)


@pytest.fixture
def streamed(monkeypatch):
    """Shapes of the tables that are streamed, and what of: as they come."""
    used, products = [], contraction.products

    def watched(tables, across=None, down=None):
        used.append((tables.shape, across is not None, down is not None))
        return products(tables, across, down)

    monkeypatch.setattr(contraction, "products", watched)
    return used


def assert_same_by_numpy(found, tensor, policy, monkeypatch):
    set_large(monkeypatch, np.inf)
    (expected,) = average_over_others([tensor], policy)
    for one, other in zip(found, expected, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-15)


def test_a_large_tensor_is_read_once(rng, monkeypatch, streamed):
    agents, states = 17, 16
    tensor = rng.normal(size=(1, states, 1, 2**agents))
    assert tensor.nbytes >= contraction.LARGE
    policy = [rng.dirichlet(np.ones(2), states) for _ in range(agents)]
    (found,) = average_over_others([tensor], policy)
    width = contraction.ROW
    assert streamed == [((1, 1, states, 1, 2**agents // width, width), True, True)]
    assert_same_by_numpy(found, tensor, policy, monkeypatch)
    assert len(streamed) == 1


def test_of_large_tensors_each_is_read_once(rng, monkeypatch, streamed):
    agents, left = 16, 9
    tensor = rng.normal(size=(agents, 2, 1, 2**agents))
    assert tensor.nbytes >= contraction.LARGE_OWN
    policy = [rng.dirichlet(np.ones(2), 2) for _ in range(agents)]
    (found,) = average_over_others([tensor], policy)
    width = contraction.ROW
    assert [table[1] for table, *_ in streamed] == [left, agents - left]
    assert {table[-2:] for table, *_ in streamed} == {(2**agents // width, width)}
    assert [asked for _, *asked in streamed] == [[True, False], [False, True]]
    assert_same_by_numpy(found, tensor, policy, monkeypatch)
    assert len(streamed) == 2


@pytest.mark.parametrize("kind", ["a batch of policies", "complex numbers"])
def test_what_is_not_streamed(kind, rng, monkeypatch):
    actions, batch = (3, 2, 4), (5,) if kind == "a batch of policies" else ()
    tensor = rng.normal(size=(1, 2, 1, 24)) * (1j if kind == "complex numbers" else 1)
    policy = [rng.random((*batch, 2, m)) for m in actions]
    set_large(monkeypatch, 0)
    monkeypatch.setattr(contraction, "products", None)
    (found,) = average_over_others([tensor], policy)
    for one, other in zip(found, by_einsum(tensor, actions, policy), strict=True):
        assert_allclose(one, other, rtol=1e-12)


@pytest.mark.usefixtures("readings")
def test_exact_numbers_stay_exact(rng):
    actions = (2, 3, 2)
    tensor = rng.integers(-9, 9, (1, 2, 1, 12)).astype(float)
    policy = [rng.integers(1, 4, (2, m)) for m in actions]
    (exact,) = average_over_others([to_exact(tensor)], [to_exact(own) for own in policy])
    for one, other in zip(exact, by_einsum(tensor, actions, policy), strict=True):
        assert isinstance(one[0, 0, 0], fmpq)
        assert (one == other.astype(int)).all()


@pytest.mark.usefixtures("readings")
@pytest.mark.parametrize("actions", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("small", [0, np.inf])
def test_tensors_do_not_depend_on_those_beside_them(actions, batch, small, rng, monkeypatch):
    monkeypatch.setattr(contraction, "SMALL", small)
    sizes = [(1, 2), (len(actions), 1), (1, 1), (len(actions), 3)]
    tensors = [rng.normal(size=(n, 2, k, int(np.prod(actions)))) for n, k in sizes]
    policy = [rng.random((*batch, 2, m)) for m in actions]
    together = average_over_others(tensors, policy)
    for tensor, found in zip(tensors, together, strict=True):
        (alone,) = average_over_others([tensor], policy)
        for one, other in zip(found, alone, strict=True):
            assert one.shape == other.shape
            assert_allclose(one, other, rtol=1e-11, atol=1e-12 * abs(other).max())


def test_what_is_joined_keeps_its_kind_of_number(rng):
    actions = (2, 3, 2)
    policy = [rng.random((2, m)) for m in actions]
    real = rng.normal(size=(1, 2, 1, 12))
    for tensors in ([real, 1j * real], [1j * real, real]):
        for tensor, found in zip(tensors, average_over_others(tensors, policy), strict=True):
            for one, other in zip(found, by_einsum(tensor, actions, policy), strict=True):
                assert_allclose(one, other, rtol=1e-12)


def test_no_policies(rng):
    actions = (3, 2, 2)
    (found,) = average_over_others(
        [rng.normal(size=(1, 2, 1, 12))], [np.ones((0, 2, m)) for m in actions]
    )
    assert [own.shape for own in found] == [(0, 2, 1, m) for m in actions]


def test_averages_have_the_form_of_the_policy(rng):
    actions = (2, 3, 2, 2)
    policy = [rng.random((2, m)) for m in actions]
    tensor = rng.normal(size=(1, 2, 1, 24))
    expected = by_einsum(tensor, actions, policy)
    profile = stacked(policy)
    turned = Profile(
        [profile.stacks[1], profile.stacks[0][[1, 2, 0]]], Roster(np.array([3, 0, 1, 2]), (1, 3))
    )
    split = Profile(
        [np.stack(policy[:1]), np.stack(policy[1:2]), np.stack(policy[2:])], Roster.apart((1, 1, 2))
    )
    for family in (policy, profile, turned, split):
        (found,) = average_over_others([tensor], family)
        assert isinstance(found, Profile) == isinstance(family, Profile)
        assert not isinstance(family, Profile) or found.roster is family.roster
        for own, one, other in zip(family, found, expected, strict=True):
            assert own.shape == one.shape[:1] + one.shape[2:]
            assert_allclose(one, other, rtol=1e-12)


def test_agents_who_share_a_row(rng):
    own = rng.dirichlet(np.ones(2), (1, 3))
    tensor = rng.normal(size=(1, 3, 1, 8))
    (found,) = average_over_others([tensor], Profile([own], Roster.alike((3,))))
    for one, other in zip(found, by_einsum(tensor, (2, 2, 2), [own[0]] * 3), strict=True):
        assert_allclose(one, other, rtol=1e-12)


def test_batch_axes_are_broadcast(rng):
    policy = [rng.random((2, 2)), rng.random((5, 2, 3)), rng.random((1, 2, 2))]
    tensor = rng.normal(size=(1, 2, 1, 12))
    full = [np.broadcast_to(own, (5, 2, own.shape[-1])) for own in policy]
    (found,) = average_over_others([tensor], policy)
    for one, other in zip(found, by_einsum(tensor, (2, 3, 2), full), strict=True):
        assert_allclose(np.broadcast_to(one, other.shape), other, rtol=1e-12)


# Memory: at most 1.5 times what a game keeps


def game_arrays(rng, kind):
    actions, states = (2,) * 14, 4
    moves = rng.dirichlet(np.ones(states), states)
    spread = rng.dirichlet(np.ones(states), (states, *actions))
    rewards = rng.random((states, *actions))
    each = [rng.random((2, *(4,) * 6)) for _ in range(6)]
    return {
        "shared": (rewards, moves),
        "shared, whole numbers": ((9 * rewards).astype(np.int8), moves),
        "shared, another order": (np.asfortranarray(rewards), moves),
        "shared, a large kernel": (rewards, spread),
        "one each": (each, np.eye(2)),
        "one each, kernel of two states": (each, rng.dirichlet(np.ones(2), (2, *(4,) * 6))),
    }[kind]


@pytest.mark.parametrize(
    "kind",
    [
        "shared",
        "shared, whole numbers",
        "shared, another order",
        "shared, a large kernel",
        "one each",
        "one each, kernel of two states",
    ],
)
def test_neither_construction_nor_averages_take_half_as_much_again(kind, rng):
    rewards, kernel = game_arrays(rng, kind)
    tracemalloc.start()
    try:
        game = TabularGame(rewards, kernel, discount=0.9)
        kept = tracemalloc.get_traced_memory()[0]
        own = game.kernel.nbytes + (1 if game.identical_interest else 6) * game.rewards[0].nbytes
        assert kept < 1.1 * own
        policy = tuple(rng.dirichlet(np.ones(m), game.num_states) for m in game.num_actions)
        game.induced_mdps(policy)
        if game.identical_interest:
            assert game.phi_max == game.reward_bound
        assert tracemalloc.get_traced_memory()[1] < 1.5 * own
    finally:
        tracemalloc.stop()


def test_a_game_keeps_copies_of_what_it_was_given(rng):
    rewards, kernel = [rng.random((2, 2, 2)) for _ in range(2)], np.full((2, 2, 2, 2), 0.5)
    game = TabularGame(rewards, kernel, discount=0.5)
    first = rewards[0][0, 0, 0]
    rewards[0][:], kernel[:] = 7.0, 7.0
    assert game.rewards[0, 0, 0, 0] == first
    assert (game.kernel == 0.5).all()
