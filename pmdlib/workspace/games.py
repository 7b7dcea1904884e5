"""Games as the command line names them, and what can be said of one in a screen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pmdlib.errors import PmdError
from pmdlib.workspace.files import WorkspaceError

if TYPE_CHECKING:
    from pmdlib.analysis.potential import PotentialTest
    from pmdlib.games.game import MarkovGame

#: The exact test makes a rational of every payoff: up to this many it takes less than a minute.
MOST_TESTED = 2**20

#: Of the policy that a run starts from, and of the policies that the exact test draws.
SEED = 0


def find_game(name: str, arguments: dict[str, Any]) -> "MarkovGame":
    """Return a game by name, or from a file if the name has a suffix.

    Parameters
    ----------
    name : str
    arguments : dict
        Of the function that makes a named game; a file takes none.

    Raises
    ------
    WorkspaceError
        If there is none, it is none, or the arguments do not fit.
    """
    from pmdlib.games.exchange import catalogue_game, load_game

    path = Path(name)
    try:
        if not path.suffix:
            return catalogue_game(name, **arguments)
        if arguments:
            raise PmdError(f"{name} is a file, which takes no arguments: {', '.join(arguments)}")
        return load_game(path)
    except PmdError as error:
        raise WorkspaceError(str(error)) from error


def write_game(game: "MarkovGame", path: Path) -> str:
    """Write a game to a file; return what the file does not keep: nothing, or words for it.

    Raises
    ------
    WorkspaceError
        If it cannot be written.
    """
    from pmdlib.games.exchange import save_game

    try:
        save_game(game, path)
    except PmdError as error:
        raise WorkspaceError(str(error)) from error
    if path.suffix.lower() == ".npz":
        return ""
    lost = [f"discount {_short(game.discount)}"] if game.discount else []
    return ", ".join(lost + ["potential"] * (game.has_potential and not game.identical_interest))


def describe(game: "MarkovGame", iterations: int) -> list[tuple[str, str]]:
    """Say of a game, in rows of two cells: its sizes, whether it has a potential, how KL does.

    Parameters
    ----------
    game : MarkovGame
    iterations : int >= 1
        Of the run of KL mirror descent, from a random policy.
    """
    from pmdlib.analysis.equilibrium import nash_gap
    from pmdlib.analysis.policies import uniform_policy
    from pmdlib.arithmetic import is_exact

    test = _test(game)
    numbers = "exact rationals" if is_exact(game.initial) else "floats"
    return [
        ("kind", f"{type(game).__name__}, in {numbers}"),
        ("agents", f"{_grouped(game.num_agents)}, {_actions(game.num_actions)}"),
        ("states", f"{game.num_states}, discount {_short(game.discount)}"),
        ("interest", "identical" if game.identical_interest else "each their own"),
        ("Markov potential game", _verdict(game, test)),
        ("stated potential", _stated(game, test)),
        ("uniform policy", f"Nash gap {_short(nash_gap(game, uniform_policy(game)))}"),
        (f"KL, {iterations} updates", _run(game, test, iterations)),
    ]


def _actions(numbers: tuple[int, ...]) -> str:
    if len(set(numbers)) == 1:
        return f"{numbers[0]} actions each" if len(numbers) > 1 else f"{numbers[0]} actions"
    if len(numbers) > 8:
        return f"{min(numbers)} to {max(numbers)} actions"
    return f"{' × '.join(map(str, numbers))} actions"


def _test(game: Any) -> "PotentialTest | None":
    """Test a game whose table is small enough; None for the others."""
    from pmdlib.analysis.potential import is_markov_potential_game
    from pmdlib.games.tabular import TabularGame

    if not isinstance(game, TabularGame) or game.rewards.size > MOST_TESTED:
        return None
    return is_markov_potential_game(game, np.random.default_rng(SEED))


def _verdict(game: "MarkovGame", test: "PotentialTest | None") -> str:
    from pmdlib.games.facilities import FacilityGame

    if test is None:
        if isinstance(game, FacilityGame):
            return "yes, by construction"
        return f"not tested: more than {_grouped(MOST_TESTED)} payoffs"
    if test.witness is not None:
        first, second = test.witness.agents
        return (
            f"no, proved: a cycle of agents {first} and {second} from state {test.witness.state} "
            f"sums to {_short(test.witness.total)}, {_short(test.residual)} of the range of values"
        )
    if test.proved:
        return "yes, proved"
    return f"yes, supported: {test.cycles} cycles close, residual {_short(test.residual)}"


def _stated(game: "MarkovGame", test: "PotentialTest | None") -> str:
    if not game.has_potential:
        return "none; pmdlib.with_potential states the one found" if test else "none"
    if test is None:
        return f"φmax {_short(game.phi_max)}"
    return f"φmax {_short(game.phi_max)}, {'right' if test.stated else 'wrong'}"


def _run(game: Any, test: "PotentialTest | None", iterations: int) -> str:
    """Run KL mirror descent at the step (1-γ)/φmax, or (1-γ)/max|r| where there is no potential."""
    from pmdlib.analysis.policies import random_policy
    from pmdlib.analysis.potential.stage_potential import smallest_range
    from pmdlib.games.exchange import with_potential
    from pmdlib.learning.pmd import run_pmd

    if test is not None and test.potential is not None and not game.has_potential:
        game = with_potential(game, smallest_range(game, test.potential))
    game = game.rounded()
    scale = game.phi_max if game.has_potential else game.reward_bound
    step = (1 - game.discount) / scale if scale else 1.0
    start = random_policy(game, np.random.default_rng(SEED))
    trace = run_pmd(game, "kl", step, iterations, start, progress=False)
    settled = "converged" if trace.converged else "not converged"
    return f"step {_short(step)}: Nash gap {_short(trace.nash_gap[-1])}, {settled}"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def _short(number: Any) -> str:
    from pmdlib.arithmetic import to_float

    return f"{float(to_float(number)):.3g}"
