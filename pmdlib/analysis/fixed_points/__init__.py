"""Fixed points of the KL map: all of them, certified, and which are isolated."""

from pmdlib.analysis.fixed_points.enumeration import (
    BUDGET,
    FixedPointSet,
    OpenFace,
    find_fixed_points,
    fixed_points,
)
from pmdlib.analysis.fixed_points.face_jacobians import (
    jacobian,
)
from pmdlib.analysis.fixed_points.faces import (
    Support,
)
from pmdlib.analysis.fixed_points.kinds import (
    SINGULAR_TOLERANCE,
    ZERO_TOLERANCE,
    FixedPoint,
    classify,
    fixed_point_residual,
)

__all__ = [
    "BUDGET",
    "SINGULAR_TOLERANCE",
    "ZERO_TOLERANCE",
    "FixedPoint",
    "FixedPointSet",
    "OpenFace",
    "Support",
    "classify",
    "find_fixed_points",
    "fixed_point_residual",
    "fixed_points",
    "jacobian",
]
