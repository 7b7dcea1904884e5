"""Archives that people write: the keys, and what is wrong with them; nothing is unpickled."""

import io
import pickle
import re
import zipfile

import numpy as np
import pytest
from flint import fmpq
from numpy.testing import assert_array_equal

import pmdlib as pmd
from pmdlib.arithmetic import Ball, is_exact
from pmdlib.errors import InvalidGameError


def archive(tmp_path, **tables):
    path = tmp_path / "mine.npz"
    np.savez(path, **tables)
    return path


def test_an_archive_that_people_write(tmp_path):
    r, q, p = np.zeros((2, 2, 3)), np.ones((2, 2, 3), dtype=int), np.full((2, 2, 3, 2), 0.5)
    game = pmd.load_game(
        archive(tmp_path, rewards_0=r, rewards_1=q, kernel=p, discount=0.9, potential=r)
    )
    assert (game.num_states, game.num_actions, game.discount) == (2, (2, 3), 0.9)
    assert_array_equal(game.rewards, [r, q])
    assert game.initial.tolist() == [0.5, 0.5]
    assert game.has_potential
    np.savez_compressed(tmp_path / "small.npz", rewards=q[:1])  # one state: no more is needed
    shared = pmd.load_game(tmp_path / "small.npz")
    assert shared.identical_interest
    assert (shared.num_states, shared.discount) == (1, 0)
    roads = pmd.load_game(
        archive(tmp_path, kind="congestion", payoffs=np.ones((1, 3, 5)), agents=5)
    )
    assert roads.num_actions == (3,) * 5


def test_text_makes_an_exact_game(tmp_path):
    thirds = np.array([["1/3", "2/3"], ["0.5", "1/2"]])
    game = pmd.load_game(
        archive(tmp_path, rewards=np.eye(2), kernel=thirds, discount=np.array("9/10"))
    )
    assert game.discount == fmpq(9, 10)
    assert game.kernel[0].tolist() == [fmpq(1, 3), fmpq(2, 3)]
    assert is_exact(game.rewards)


TWO = {"rewards": np.zeros((2, 2)), "kernel": np.eye(2), "discount": 0.5}
ROADS = {"kind": "congestion", "payoffs": np.ones((1, 2, 4)), "agents": 4}
CROWDS = ROADS | {"agents": [3, 1], "actions": [1, 2], "uses": np.eye(3, 2)}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "there are neither rewards, for all agents, nor rewards_0"),
        (
            {"reward": np.zeros((1, 2))},
            "there is no key 'reward' of such a game; did you mean rewards",
        ),
        (TWO | {"x": 1}, "no key 'x' of such a game; there may be rewards, rewards_0, kernel"),
        (TWO | {"rewards_0": np.zeros((2, 2))}, "both rewards, for all agents, and rewards_0"),
        (
            {"rewards_1": np.zeros((1, 2, 2)), "rewards_0": np.zeros((1, 2, 3))},
            "rewards[agent=1] has",
        ),
        (
            {"rewards_0": np.zeros((1, 2, 2)), "rewards_2": np.zeros((1, 2, 2))},
            "key rewards_1 is missing",
        ),
        ({"rewards_0": np.zeros((1, 2, 2))}, "rewards hold 1 tensors"),
        ({"rewards": np.zeros(3)}, "the key kernel is missing: it may only be left out"),
        ({"rewards": np.zeros(())}, "the key kernel is missing"),
        ({"rewards": np.zeros((1,))}, "rewards have shape (1,)"),
        ({"rewards": np.zeros((0, 2))}, "the key kernel is missing"),
        ({"rewards": np.zeros((1,) * 62)}, "61 agents are too many"),
        ({key: TWO[key] for key in ("rewards", "kernel")}, "the key discount is missing"),
        (TWO | {"kernel": np.ones((2, 2))}, "kernel[s=0] sums to 2.0"),
        (TWO | {"rewards": np.array([[0, np.nan], [0, 0]])}, "rewards[s=0, a=(1,)] is nan"),
        (TWO | {"discount": 1.0}, "discount is 1.0, must be a number in [0, 1)"),
        (TWO | {"discount": np.nan}, "discount is nan"),
        (TWO | {"discount": [0.5, 0.5]}, "discount is"),
        (TWO | {"potential": np.zeros(2)}, "potential has shape (2,)"),
        (TWO | {"initial": [1, 1]}, "initial sums to 2"),
        (TWO | {"rewards": np.zeros((2, 2)) * 1j}, "rewards holds complex128, must hold numbers"),
        (TWO | {"rewards": np.array([["a", "b"]])}, "rewards[0, 0]: 'a' is no number"),
        (TWO | {"discount": "half"}, "discount: 'half' is no number"),
        (TWO | {"rewards": np.array([b"1", b"2"])}, "rewards holds |S1"),
        (
            TWO | {"kind": "poker"},
            "kind is 'poker', must be one of tabular, congestion, team, count",
        ),
        (TWO | {"kind": [1, 2]}, "kind is"),
        ({"kind": "count"}, "the key payoffs is missing"),
        ({"kind": "count", "payoffs": [1.0]}, "payoffs have shape (1,), must be (N + 1,)"),
        ({"kind": "team", "payoffs": np.ones((1, 2, 4)), "agents": 4}, "agents are 4 in all, but"),
        (ROADS | {"payoffs": np.ones((2, 4))}, "payoffs have shape (2, 4), must be (S, F, loads)"),
        (ROADS | {"payoffs": 1}, "payoffs have shape ()"),
        (ROADS | {"agents": 10**15}, "agents are 1000000000000000 in all, but payoffs are for 4"),
        (ROADS | {"agents": [2**62] * 4}, "agents are 18446744073709551616 in all"),
        (ROADS | {"agents": 4.0}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": [4, 0]}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": "4"}, "agents must be whole numbers >= 1"),
        (ROADS | {"agents": [2, 2]}, "the key actions is missing"),
        (ROADS | {"payoffs": np.ones((2, 2, 4))}, "the key discount is missing"),
        (CROWDS | {"uses": np.eye(2)}, "uses have shape (2, 2), must be (all actions, F) = (3, 2)"),
        (CROWDS | {"uses": 2 * np.eye(3, 2)}, "uses must be 1 where an action uses a facility"),
        (CROWDS | {"actions": [3]}, "actions are for 1 populations, must be for the 2 of agents"),
        (CROWDS | {"potential": np.ones(3)}, "no key 'potential' of such a game"),
    ],
)
def test_what_is_wrong_in_an_archive_is_said_with_its_key(tables, message, tmp_path):
    with pytest.raises(InvalidGameError, match=f"mine.npz: .*{re.escape(message)}"):
        pmd.load_game(archive(tmp_path, **tables))


class Trap:
    """An object that says so when it is unpickled."""

    sprung = False

    def __reduce__(self):
        return (setattr, (Trap, "sprung", True))


def test_no_pickle_is_ever_loaded(tmp_path):
    path = archive(tmp_path, rewards=np.array([Trap()], dtype=object))
    with pytest.raises(InvalidGameError, match=r"rewards.npy holds Python objects \(a pickle\)"):
        pmd.load_game(path)
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InvalidGameError, match=r"this is no \.npz archive"):
        pmd.load_game(path)
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("rewards.npy", pickle.dumps(Trap()))
    with pytest.raises(InvalidGameError, match=r"rewards.npy cannot be read"):
        pmd.load_game(path)
    assert not Trap.sprung


@pytest.mark.parametrize("shape", [(10**9,), (10**9, 10**9), (2**62, 4), (3,), (-1,), (-2, -1)])
def test_an_archive_that_claims_more_than_it_holds_is_refused_before_it_is_read(shape, tmp_path):
    content = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(content, header)
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("rewards.npy", content.getvalue() + bytes(16))
    with pytest.raises(InvalidGameError, match=r"rewards.npy claims shape .* but holds 16"):
        pmd.load_game(path)


class OtherGame(pmd.TabularGame):
    """A class that an archive has no name for."""


@pytest.mark.parametrize(
    ("game", "message"),
    [
        (pmd.stage_game(np.array([Ball(fmpq(1, 3))])), "rewards: .* is no rational"),
        (OtherGame(np.zeros((1, 2)), np.eye(1), discount=0), "a OtherGame cannot be written"),
        ("isolated", "a str cannot be written, must be one of TabularGame, CongestionGame"),
    ],
)
def test_what_an_archive_cannot_hold_is_refused(game, message, tmp_path):
    with pytest.raises(InvalidGameError, match=message):
        pmd.save_game(game, tmp_path / "game.npz")
    assert not any(tmp_path.iterdir())
