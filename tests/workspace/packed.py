"""Reading the packed numbers of the explorer's page, apart from its script."""

import base64
import gzip

import numpy as np


def decoded(data):
    """The packed runs, (number of runs, quantities and times, and two counts)."""
    raw = gzip.decompress(base64.b64decode(data["numbers"]))
    width = len(data["levels"]) * len(data["times"]) + 2
    steps = np.frombuffer(raw, dtype="<i2").reshape(-1, width)
    return steps.cumsum(axis=1, dtype=np.int16)
