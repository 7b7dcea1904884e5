"""Powers of intervals: the exact image, also where the power is not monotone."""

import pytest
from flint import fmpq

from pmdlib.arithmetic import UndecidedError
from pmdlib.arithmetic.intervals import Interval


@pytest.mark.parametrize(
    ("ends", "exponent", "image"),
    [
        ((-1, 2), 2, (0, 4)),
        ((-3, 2), 4, (0, 81)),
        ((-1, 2), 3, (-1, 8)),
        ((-1, 2), 1, (-1, 2)),
        ((-1, 2), 0, (1, 1)),
        ((-3, -2), 2, (4, 9)),
        ((0, 2), 2, (0, 4)),
        ((-2, 0), 2, (0, 4)),
        ((2, 3), -2, (fmpq(1, 9), fmpq(1, 4))),
        ((-3, -2), -1, (fmpq(-1, 2), fmpq(-1, 3))),
    ],
)
def test_a_power_is_the_exact_image(ends, exponent, image):
    power = Interval(*ends) ** exponent
    assert (power.lower, power.upper) == image


@pytest.mark.parametrize("exponent", [-1, -2])
def test_a_negative_power_through_zero_is_undefined(exponent):
    with pytest.raises(UndecidedError):
        Interval(-1, 2) ** exponent
