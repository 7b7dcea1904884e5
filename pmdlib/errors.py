"""The errors that pmdlib raises: one base class, one kind per sort of bad input."""


class PmdError(ValueError):
    """Base of every error that pmdlib raises on purpose.

    Examples
    --------
    >>> pmd.verify("regret-lk")
    Traceback (most recent call last):
        ...
    pmdlib.errors.PmdError: there is no claim 'regret-lk'; did you mean regret-kl or ...?
    """


class InvalidGameError(PmdError):
    """The rewards, kernel, discount, initial distribution or potential do not form a game.

    Examples
    --------
    >>> pmd.TabularGame(np.array([[1.0]]), np.array([[0.9]]), discount=0.0)
    Traceback (most recent call last):
        ...
    pmdlib.errors.InvalidGameError: kernel[s=0] sums to 0.9, must be 1 within 1e-09
    """


class InvalidPolicyError(PmdError):
    """A policy does not fit its game, or is not a probability distribution.

    Examples
    --------
    >>> game = pmd.TabularGame(np.array([[1.0, 0.0]]), np.eye(1), discount=0.0)
    >>> pmd.values(game, [np.array([[0.5, 0.75]])])
    Traceback (most recent call last):
        ...
    pmdlib.errors.InvalidPolicyError: policy[agent=0][s=0] sums to 1.25, must be 1 within 1e-09
    """


class NotPotentialError(PmdError):
    """A quantity of the potential was asked for, but the game states no potential.

    Examples
    --------
    >>> game = pmd.TabularGame([np.array([[1.0, 0.0]])], np.eye(1), discount=0.0)
    >>> pmd.run_pmd(game, "kl", step="paper")
    Traceback (most recent call last):
        ...
    pmdlib.errors.NotPotentialError: the game states no potential: pass potential=...
    """


class NotConvergedError(PmdError):
    """An iteration that must end in finitely many steps did not, or an answer was not reached.

    Examples
    --------
    >>> from flint import fmpq
    >>> from pmdlib.arithmetic import solve
    >>> singular = np.array([[fmpq(1), fmpq(2)], [fmpq(2), fmpq(4)]])
    >>> solve(singular, np.array([[fmpq(1)], [fmpq(0)]]))
    Traceback (most recent call last):
        ...
    pmdlib.errors.NotConvergedError: an exact ... linear system is singular
    """
