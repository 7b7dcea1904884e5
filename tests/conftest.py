"""Settings and fixtures that all tests share."""

import numpy as np
import pytest
from hypothesis import settings

# The same examples in every run, and no clock: a slow machine is no failure.
settings.register_profile("pmdlib", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("pmdlib")


@pytest.fixture
def rng():
    return np.random.default_rng(20240815)
