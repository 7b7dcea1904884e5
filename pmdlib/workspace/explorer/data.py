"""The numbers of the page: settings on a grid, run by `explore` and packed into 16 bits each.

Places on the axes and the potential (over its largest value) are kept as fractions, everything
else as the logarithm of its size with its sign, which leaves a relative error below 0.2 %; 0 stands
for "none, or below 1e-9". Fewer levels would show, more would only make the page longer.
"""

import base64
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2, log10
from typing import Any

import numpy as np

from pmdlib.analysis.values import potential_values
from pmdlib.arithmetic import Array
from pmdlib.workspace.explorer.rest_points import rest_points
from pmdlib.workspace.explorer.runs import ITERATIONS, Runs, explore
from pmdlib.workspace.explorer.scenes import GRID, SCENES, Scene, group_policy
from pmdlib.workspace.explorer.theory import Theory, theory
from pmdlib.workspace.explorer.words import SMALLEST, TEMPLATES, short, step_line

#: Numbers of agents on the page. All even: both groups are of one size, so that runs from (x, y)
#: and from (y, x) are mirror images, and one of them is kept.
AGENTS = (2, 4, 8, 16, 64)

#: Mirror maps and how they are called.
MIRROR_MAPS = {"kl": "KL (natural policy gradient)", "euclidean": "Euclidean (projected)"}

#: Iterates on the page: the first ones, then pairs, so that a cycle of length two can be seen.
TIMES = (*range(13), 16, 17, 22, 23, 32, 33, 45, 46, 64, 65, 90, 91, 126, 127)

#: Steps go from the guaranteed one divided by this ..
BELOW = 16
#: .. to this many times it, and at least to that.
ABOVE, LEAST_TOP = 4, 8

#: Cells of the picture of the potential, in each direction.
HEAT = 24

#: Quantities of a run as they are packed, and the code that stands for 1, or for 10^`HIGH`.
LEVELS = {
    "x": 8191,
    "y": 8191,
    "potential": 32767,
    "nash_gap": 8191,
    "regret": 8191,
    "regret_bound": 8191,
    "improvement": 8191,
    "guarantee": 8191,
    "c": 8191,
}

#: The first ones are fractions.
FRACTIONS = 3

#: Logarithms (base 10) that the codes 1 and the largest stand for.
LOW, HIGH = log10(SMALLEST), 4.0


def pack_fractions(values: Array, levels: int) -> Array:
    """Keep numbers in [0, 1] as 0 .. ``levels``."""
    return np.asarray(np.rint(values * levels).astype(np.int16))


def pack_sizes(values: Array, levels: int) -> Array:
    """Keep numbers as ± the logarithm of their size; NaN and what is below `SMALLEST` as 0."""
    size = np.nan_to_num(abs(values), nan=0.0, posinf=0.0)
    logs = np.log10(np.maximum(size, SMALLEST))
    codes = 1 + np.rint((np.minimum(logs, HIGH) - LOW) / (HIGH - LOW) * (levels - 1))
    signed = np.where(size < SMALLEST, 0, np.copysign(codes, values))
    return np.asarray(signed.astype(np.int16))


def unpack_fractions(codes: Array, levels: int) -> Array:
    """Undo `pack_fractions`."""
    return np.asarray(codes / levels)


def unpack_sizes(codes: Array, levels: int) -> Array:
    """Undo `pack_sizes`; NaN for 0."""
    logs = LOW + (abs(codes.astype(float)) - 1) / (levels - 1) * (HIGH - LOW)
    return np.where(codes == 0, np.nan, np.sign(codes) * 10.0**logs)


def step_ladder(known: Theory) -> list[float]:
    """Choose the steps of the page: powers of two round the guaranteed one, and all named ones."""
    low, high = floor(log2(known.limit / BELOW)), ceil(log2(max(ABOVE * known.limit, LEAST_TOP)))
    named = [step.value for step in known.steps]
    wanted = sorted([*(2.0**k for k in range(low, high + 1)), *named, known.limit])
    return [step for k, step in enumerate(wanted) if not k or step > wanted[k - 1] * (1 + 1e-9)]


def start_pairs() -> list[tuple[int, int]]:
    """Places on the grid of the starts whose runs are kept: those with x <= y."""
    return [(i, j) for j in range(len(GRID)) for i in range(j + 1)]


@dataclass
class _Numbers:
    """Packed runs, one after another."""

    blocks: list[Array]
    count: int = 0

    def add(self, runs: Runs, scene: Scene, agents: int, phi_max: float) -> None:
        """Append K runs: of each, all quantities at all times, then when the potential falls."""
        places = scene.place(runs.points, agents)
        share = np.clip(runs.potential / phi_max, 0, 1)  # rounding may leave it just outside
        fractions = {"x": places[..., 0], "y": places[..., 1], "potential": share}
        table = [
            pack_fractions(fractions[name], levels)
            if name in fractions
            else pack_sizes(getattr(runs, name), levels)
            for name, levels in LEVELS.items()
        ]
        series = np.moveaxis(np.stack(table), -1, 0).reshape(len(runs.falls), -1)
        falls = np.stack([runs.falls, runs.first_fall], axis=-1).astype(np.int16)
        self.blocks.append(np.concatenate([series, falls], axis=1))
        self.count += len(runs.falls)

    def encoded(self) -> str:
        """Gzip and base64 of the little-endian numbers, each as the difference from the last."""
        flat = np.concatenate(self.blocks)
        steps = np.diff(flat, axis=1, prepend=flat[:, :1] * 0).astype("<i2")
        return base64.b64encode(gzip.compress(steps.tobytes(), 9, mtime=0)).decode()


def gather(
    scenes: Sequence[Scene] = tuple(SCENES.values()), agents: Sequence[int] = AGENTS
) -> dict[str, Any]:
    """Compute all that the page shows, ready for JSON."""
    numbers = _Numbers([])
    described = [
        {
            "name": scene.name,
            "title": scene.title,
            "story": scene.story,
            "lesson": scene.lesson,
            "action": scene.action,
            "pictures": [_picture(scene, count) for count in agents],
            "maps": {
                name: [_settings(scene, name, count, numbers) for count in agents]
                for name in MIRROR_MAPS
            },
        }
        for scene in scenes
    ]
    return {
        "agents": list(agents),
        "maps": MIRROR_MAPS,
        "grid": list(GRID),
        "pairs": start_pairs(),
        "times": list(TIMES),
        "iterations": ITERATIONS,
        "levels": LEVELS,
        "fractions": FRACTIONS,
        "low": LOW,
        "high": HIGH,
        "templates": TEMPLATES,
        "scenes": described,
        "numbers": numbers.encoded(),
    }


def _settings(scene: Scene, mirror_map: str, agents: int, numbers: _Numbers) -> dict[str, Any]:
    """Run all steps of the ladder from all starts; say of each step what there is to say."""
    game = scene.game(agents)
    known = theory(game, mirror_map)
    ladder, pairs = step_ladder(known), start_pairs()
    starts = scene.probability([[GRID[i], GRID[j]] for i, j in pairs], agents)
    runs = explore(
        scene,
        mirror_map,
        agents,
        np.repeat(ladder, len(pairs)),
        np.tile(starts, (len(ladder), 1)),
        times=TIMES,
    )
    first = numbers.count
    numbers.add(runs, scene, agents, game.phi_max)
    twice = [1 if i == j else 2 for i, j in pairs]
    falling = (runs.falls.reshape(len(ladder), -1) > 0) @ np.array(twice)
    marks = [(named.name, named.value) for named in known.steps]
    marks.append(("the largest guaranteed step", known.limit))
    return {
        "first": first,
        "steps": [
            {
                "value": step,
                "shown": short(step, 3),
                "line": step_line(known, step),
                "falling": int(n),
            }
            for step, n in zip(ladder, falling, strict=True)
        ],
        "marks": [
            {"name": name, "at": int(np.argmin(abs(np.array(ladder) - value)))}
            for name, value in marks
        ],
    }


def _picture(scene: Scene, agents: int) -> dict[str, Any]:
    """Describe what lies under the runs: the potential, the fixed points, the axes."""
    game = scene.game(agents)
    cells = scene.probability((np.arange(HEAT) + 0.5) / HEAT, agents)
    points = np.stack(np.meshgrid(cells, cells, indexing="ij"), axis=-1)
    heights = np.asarray(potential_values(game, group_policy(points, agents)))[..., 0]
    shades = (heights - heights.min()) / (heights.max() - heights.min())
    levels = np.rint(shades * 255).astype(np.uint8)
    return {
        "phiMax": float(game.phi_max),
        "heat": base64.b64encode(levels.tobytes()).decode(),
        "rest": [
            {"kind": point.kind, "ends": np.round(scene.place(point.ends, agents), 4).tolist()}
            for point in rest_points(scene, agents)
        ],
        "ticks": [[place, label] for place, label in ticks(scene, agents)],
        "grid": [short(p) for p in scene.probability(GRID, agents).tolist()],
        "exponent": scene.exponent(agents),
    }


def ticks(scene: Scene, agents: int) -> Iterator[tuple[float, str]]:
    """Places and labels of the ticks of both axes."""
    middle = 1 / agents if scene.stretched else 0.5
    label = f"1/{agents}" if scene.stretched else "0.5"
    yield from ((0.0, "0"), (float(scene.place(middle, agents)), label), (1.0, "1"))
