"""Fixed points of the KL map: all of them, certified, and which are isolated."""

from pmdlib.analysis.fixed_points.enumeration import (
    BUDGET,
    SINGULAR_TOLERANCE,
    ZERO_TOLERANCE,
    FixedPoint,
    FixedPointSet,
    OpenFace,
    Support,
    classify,
    find_fixed_points,
    fixed_point_residual,
    fixed_points,
    jacobian,
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
