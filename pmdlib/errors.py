"""The errors that pmdlib raises: one base class, one kind per sort of bad input."""


class PmdError(ValueError):
    """Base of every error that pmdlib raises on purpose."""


class InvalidGameError(PmdError):
    """The rewards, kernel, discount, initial distribution or potential do not form a game."""


class InvalidPolicyError(PmdError):
    """A policy does not fit its game, or is not a probability distribution."""


class NotPotentialError(PmdError):
    """A quantity of the potential was asked for, but the game states no potential."""


class NotConvergedError(PmdError):
    """An iteration that must end in finitely many steps did not, or an answer was not reached."""
