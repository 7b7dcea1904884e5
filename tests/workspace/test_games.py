"""`pmdlib export` and `pmdlib inspect`: games by name and from files, and bad requests."""

import numpy as np
import pytest

import pmdlib as pmd
from pmdlib.games.exchange import catalogue_game
from pmdlib.workspace import games
from pmdlib.workspace.games import describe


@pytest.fixture
def pmdlib_command(command, tmp_path, capsys):
    """Run a command in an empty folder; return its status and what it said."""

    def run(*arguments):
        status = command({}, tmp_path, *arguments)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


def test_a_named_game_is_exported_and_inspected_again(pmdlib_command, tmp_path):
    assert pmdlib_command("export", "isolated", "out/game.nfg") == (0, "wrote out/game.nfg\n")
    loaded = pmd.load_game(tmp_path / "out" / "game.nfg")
    assert loaded.rewards[0, 0].tolist() == [[1, 0.3], [0.2, 0.6]]
    assert pmdlib_command("export", "out/game.nfg", "game.npz") == (0, "wrote game.npz\n")
    status, text = pmdlib_command("inspect", "game.npz")
    assert status == 0
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "game",
        "kind",
        "agents",
        "states",
        "interest",
        "Markov potential game",
        "stated potential",
        "uniform policy",
        "KL, 1000 updates",
    ]
    assert "2, 2 actions each" in text
    assert "yes, proved" in text
    assert "φmax 1, right" in text
    assert "Nash gap 0.125" in text  # by hand: row 1 pays .65, row 2 .4, their mean .525
    assert "Nash gap 0, converged" in text


def test_arguments_make_another_game(pmdlib_command, tmp_path):
    status, _ = pmdlib_command("export", "two-roads", "roads.npz", "-p", "num_agents=1000")
    assert status == 0
    assert pmd.load_game(tmp_path / "roads.npz").num_agents == 1000
    status, text = pmdlib_command("inspect", "roads.npz", "--iterations=3")
    assert status == 0
    assert "1\N{NO-BREAK SPACE}000, 2 actions each" in text
    assert "yes, by construction" in text
    assert "KL, 3 updates" in text


def test_what_gambits_format_does_not_keep_is_said(pmdlib_command, tmp_path):
    game = pmd.stage_game([np.eye(2), 2 * np.eye(2)], discount=0.5, potential=np.eye(2))
    pmd.save_game(game, tmp_path / "game.npz")
    assert pmdlib_command("export", "game.npz", "game.nfg") == (
        0,
        "wrote game.nfg, without its discount 0.5, potential\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "isolatd", "x.npz"], "no game 'isolatd'; did you mean isolated"),
        (["export", "isolated", "x.csv"], "x.csv must end in .npz or .nfg"),
        (["export", "rare-visit", "x.nfg"], "the game has 4 states, but .nfg holds games of one"),
        (["export", "crowd", "x.npz", "-p", "size=3"], "game 'crowd' cannot be made"),
        (["export", "half-face", "x.npz", "-p", "actions=3"], "an even number of actions"),
        (["export", "isolated"], "required: FILE"),
        (["inspect", "absent.npz"], "absent.npz cannot be read: No such file"),
        (["inspect", "mine.csv"], "mine.csv must end in .npz or .nfg"),
        (["inspect", "absent.npz", "-p", "size=3"], "is a file, which takes no arguments: size"),
        (["inspect", "isolated", "--iterations=0"], "'0' is not a positive int"),
    ],
)
def test_bad_requests_exit_with_2_and_write_nothing(pmdlib_command, tmp_path, arguments, message):
    status, text = pmdlib_command(*arguments)
    assert status == 2
    assert message in text
    assert not any(tmp_path.iterdir())


def rows(game, iterations=10):
    return dict(describe(game, iterations))


def test_a_game_without_a_potential_is_refuted_with_a_cycle():
    said = rows(catalogue_game("perturbed-team"))
    assert said["Markov potential game"].startswith("no, proved: a cycle of agents 0 and 1 from")
    assert said["stated potential"] == "none"
    assert said["interest"] == "each their own"
    assert rows(catalogue_game("routing-with-wear"))["stated potential"].endswith(", wrong")
    pennies = rows(pmd.stage_game([np.eye(2), -np.eye(2)]))
    assert " sums to " in pennies["Markov potential game"]


def test_a_potential_that_is_found_sets_the_step():
    dilemma = pmd.stage_game([np.array([[2.0, 0], [3, 1]]), np.array([[2.0, 3], [0, 1]])])
    said = rows(dilemma, 1000)
    assert said["Markov potential game"] == "yes, proved"
    assert said["stated potential"] == "none; pmdlib.with_potential states the one found"
    assert said["KL, 1000 updates"].startswith("step 0.5: ")  # 1 / φmax, φ = 0, 1, 1, 2
    assert said["KL, 1000 updates"].endswith(", converged")
    assert "exact rationals" in rows(dilemma.exact())["kind"]


def test_a_table_that_is_too_large_is_not_tested(monkeypatch):
    monkeypatch.setattr(games, "MOST_TESTED", 7)
    said = rows(catalogue_game("isolated"))  # eight payoffs
    assert said["Markov potential game"] == "not tested: more than 7 payoffs"
    assert said["stated potential"] == "φmax 1"


def test_actions_in_words():
    sizes = {(3,): "3 actions", (2, 2): "2 actions each", (2, 3): "2 × 3 actions"}
    for numbers, words in sizes.items():
        said = rows(pmd.stage_game(np.arange(np.prod(numbers)).reshape(numbers)))
        assert said["agents"] == f"{len(numbers)}, {words}"
    many = pmd.TeamGame(np.ones((1, 2, 11)), [(9, [(0,), (1,)]), (1, [(), (0,), (1,)])])
    assert rows(many)["agents"] == "10, 2 to 3 actions"
