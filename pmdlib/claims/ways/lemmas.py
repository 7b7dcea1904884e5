r"""The scalar facts about e^x on which the KL theorems rest, each proved by branch and bound.

With E_k(x) = Σ_j x^j/(j+k)! (`remainder`) each fact loses its 0/0 and shows its zeros as factors.
By hand: E_k(x) is the integral of e^{sx} (1-s)^{k-1}/(k-1)! over 0 <= s <= 1, so every E_k is
positive and increasing, and E_k' = E_k - k E_{k+1}. All but Pinsker can be read off from that. The
search does not use it: it bounds the series and its tail, box by box.

What the proofs use of single numbers, line by line:

**KL, constant step.** Jensen (log is concave). Bennett, for η(Y - V) <= u: `bennett`, then
log(1 + x) <= x: `tangent`. V' - V >= V log(V'/V): `tangent` at log(V'/V). The bracket: `bracket`;
notebook 05 writes it (e^u-1)/u · (1 - c_0 B(u)), with `bernoulli-half`. J_i/η <= Var_i (e^u-1)/b:
`secant-slope`, and a normaliser of at least 1: `tangent` at η(Y - V), which has mean zero. The
share of the first order: `half-share` for c_0 <= 1, `share` for c_0 <= 2. At u = 0 nothing moves:
V = Qmax, so Q is constant where π has mass. But for the tangent, which holds everywhere, the
arguments are u in [0, c_0] and η(Y - V) in [-c_0, c_0], c_0 = ηQmax <= 2. Boxes reach to 3, the
last c_0 for which `bracket` is true.

**One step moves the best action.** x(e^x - 1) >= e^x - 1 - x: `best-action-below`;
e^x - 1 - x >= 0: `tangent`; on the maximum x(e^x - 1) - x² = x(e^x - 1 - x), which is algebra, and
`best-action-top`. The rest multiplies by numbers between 0 and 1.

**KL, the paper's step.** Pinsker. Between any two distributions it follows from two outcomes, "more
likely under the first" and not, by the log-sum inequality (Jensen): `pinsker`. Then Cauchy-Schwarz
on the sum of √K_i, and for two agents the inequality of the two means.

**Log form.** Sums KL(π^t||π^{t+1}) <= J_i over time, with `half-share` at c_0 = 1, hence with all
of the constant step; the sign of the rise is E[e^{ηĀ}] <= e^{ηA*}, as e^x is increasing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from flint import fmpq

from pmdlib.arithmetic.branch_and_bound import BITS, MOST_BOXES, Box, Proof, prove_nonnegative
from pmdlib.arithmetic.intervals import Interval, exp, log
from pmdlib.arithmetic.intervals import remainder as E
from pmdlib.errors import PmdError


@dataclass(frozen=True)
class Lemma:
    """An inequality between functions of one or two real variables on a box.

    Attributes
    ----------
    name : str
    statement : str
        LaTeX, without dollar signs.
    ranges : tuple of (variable, least, greatest)
        The box, with rational ends.
    stated : callable
        Left less right side as the statement reads, for intervals and for SymPy symbols. Where it
        has 0/0 the statement means the limit.
    regular : callable
        The same function, equal by algebra, in a form that an enclosure can see the sign of.
    used_by : str
        Which step of which proof needs it.
    note : str
        How ``stated`` became ``regular``, and why the box is large enough.
    constraint : callable, optional
        Where it is negative nothing is claimed.
    """

    name: str
    statement: str
    ranges: tuple[tuple[str, int | fmpq, int | fmpq], ...]
    stated: Callable[..., Any]
    regular: Callable[..., Any]
    used_by: str
    note: str
    constraint: Callable[..., Any] | None = None

    @property
    def box(self) -> Box:
        """The box on which the inequality is claimed."""
        return tuple(Interval(least, greatest) for _, least, greatest in self.ranges)


def prove(lemma: Lemma, *, boxes: int = MOST_BOXES, bits: int = BITS) -> Proof:
    """Prove a lemma on its whole box, refute it at a rational point, or give up.

    Parameters
    ----------
    lemma : Lemma
    boxes : int
        After how many boxes to give up.
    bits : int
        Working precision of the enclosures.

    Returns
    -------
    Proof
    """
    return prove_nonnegative(lemma.regular, lemma.box, lemma.constraint, boxes=boxes, bits=bits)


def check_lemmas(
    names: Iterable[str] | None = None, *, boxes: int = MOST_BOXES, bits: int = BITS
) -> dict[str, Any]:
    """Prove lemmas and refute their controls; summarise for a report.

    Parameters
    ----------
    names : iterable of str, optional
        Keys of `LEMMAS`; all by default.
    boxes, bits : int
        As for `prove`.

    Returns
    -------
    dict
        "lemmas", "proved", "boxes" (of all covers), "controls", "controls refuted", "bits" and
        "lemma names".

    Raises
    ------
    PmdError
        For a name that no lemma has.
    """
    chosen = list(LEMMAS if names is None else names)
    for name in chosen:
        if name not in LEMMAS:
            raise PmdError(f"no lemma is called {name!r}, must be one of {', '.join(LEMMAS)}")
    proofs = [prove(LEMMAS[name], boxes=boxes, bits=bits) for name in chosen]
    controls = [control for name in chosen for control in CONTROLS[name]]
    refuted = [prove(control, boxes=boxes, bits=bits).proved is False for control in controls]
    return {
        "lemmas": len(chosen),
        "proved": sum(proof.proved is True for proof in proofs),
        "boxes": sum(proof.boxes for proof in proofs),
        "controls": len(controls),
        "controls refuted": sum(refuted),
        "bits": bits,
        "lemma names": chosen,
    }


def _u_at_most_c(u: Any, c: Any) -> Any:
    return c - u


def _bracket(u: Any, c: Any) -> Any:
    return 1 - (c - u) * (exp(u) - 1 - u) / u**2


def _share(u: Any, c: Any) -> Any:
    return _bracket(u, c) * u / (exp(u) - 1)


_BRACKET = r"1-(c_0-u)\frac{e^u-1-u}{u^2}"
_SHARE = rf"\Big[{_BRACKET}\Big]\frac u{{e^u-1}}"

# The exponential and its secants

TANGENT = Lemma(
    name="tangent",
    statement=r"e^x\ge 1+x,\quad |x|\le3",
    ranges=(("x", -3, 3),),
    stated=lambda x: exp(x) - 1 - x,
    regular=lambda x: x**2 * E(2, x),
    used_by="all KL proofs: log x <= x - 1, e^x - 1 - x >= 0 and E e^{η(Y-V)} >= 1",
    note="The difference is x² E_2. It holds for all real x: above 0 no term of the series is "
    "negative, below -1 the right side is.",
)

SECANT_SLOPE = Lemma(
    name="secant-slope",
    statement=r"\frac{d}{dx}\frac{e^x-1}{x}=\frac{xe^x-e^x+1}{x^2}\ge0,\quad |x|\le3",
    ranges=(("x", -3, 3),),
    stated=lambda x: (x * exp(x) - exp(x) + 1) / x**2,
    regular=lambda x: E(1, x) - E(2, x),
    used_by="constant step: J_i/η = E_π'(Y-V) <= Var_i (e^u-1)/b",
    note="(e^x - 1)/x is E_1, whose slope is E_1 - E_2; where a slope is not negative, a function "
    "does not fall (mean value theorem).",
)

BENNETT = Lemma(
    name="bennett",
    statement=(
        r"\frac{d}{dy}\frac{e^y-1-y}{y^2}=\frac{y(e^y-1)-2(e^y-1-y)}{y^3}\ge0,\quad |y|\le3"
    ),
    ranges=(("y", -3, 3),),
    stated=lambda y: (y * (exp(y) - 1) - 2 * (exp(y) - 1 - y)) / y**3,
    regular=lambda y: E(2, y) - 2 * E(3, y),
    used_by="constant step: e^y-1-y <= y² (e^u-1-u)/u² for y <= u, so ψ_i <= Var_i (e^u-1-u)/b²",
    note="(e^y - 1 - y)/y² is E_2, whose slope is E_2 - 2 E_3; then the mean value theorem.",
)

# The bracket of the constant step

BRACKET = Lemma(
    name="bracket",
    statement=rf"{_BRACKET}\ge1-\frac{{c_0}}2,\quad 0\le u\le c_0\le3",
    ranges=(("u", 0, 3), ("c_0", 0, 3)),
    stated=lambda u, c: _bracket(u, c) - (1 - c / 2),
    regular=lambda u, c: u * ((3 - c) * E(3, u) + u * (E(3, u) - 3 * E(4, u))),
    used_by="constant step: V' - V >= η(1 - c_0/2) Σ Var_i",
    note="As 1/2 = E_2 - u E_3, the difference is u(E_2 - c_0 E_3). Near u = 0, c_0 = 3 that still "
    "vanishes, hence E_2 - 3 E_3 = u(E_3 - 3 E_4). The theorem needs c_0 <= 2 only.",
    constraint=_u_at_most_c,
)

BERNOULLI_HALF = Lemma(
    name="bernoulli-half",
    statement=r"B(u)=\frac1u-\frac1{e^u-1}\le\frac12,\quad 0\le u\le3",
    ranges=(("u", 0, 3),),
    stated=lambda u: (u - 2) / (2 * u) + 1 / (exp(u) - 1),
    regular=lambda u: u * (E(2, u) - 2 * E(3, u)) / (2 * E(1, u)),
    used_by="constant step, as notebook 05 writes it: the bracket is (e^u-1)/u · (1 - c_0 B(u))",
    note="B = E_2/E_1, and E_1 - 2 E_2 = u(E_2 - 2 E_3) takes out the zero at u = 0.",
)

SHARE = Lemma(
    name="share",
    statement=rf"{_SHARE}\ge1-\frac{{c_0}}2,\quad 0\le u\le c_0\le2",
    ranges=(("u", 0, 2), ("c_0", 0, 2)),
    stated=lambda u, c: _share(u, c) - (1 - c / 2),
    regular=lambda u, c: c * u * (E(2, u) - 2 * E(3, u)) / (2 * E(1, u)),
    used_by="constant step: V' - V >= (1 - c_0/2) Σ J_i/η, for c_0 <= 2",
    note="The left side is 1 - c_0 B(u), the difference c_0(1/2 - B(u)), see bernoulli-half: true "
    "for all c_0, but J_i may replace Var_i only where the bracket is not negative.",
    constraint=_u_at_most_c,
)

HALF_SHARE = Lemma(
    name="half-share",
    statement=rf"{_SHARE}\ge\frac12,\quad 0\le u\le c_0\le1",
    ranges=(("u", 0, 1), ("c_0", 0, 1)),
    stated=lambda u, c: (2 * _share(u, c) - 1) / 2,
    regular=lambda u, c: (1 - c) / 2 + c * u * (E(2, u) - 2 * E(3, u)) / (2 * E(1, u)),
    used_by="constant step: V' - V >= Σ J_i/(2η), for c_0 <= 1; log form: Σ_t Σ_i J_i <= 2 c_0",
    note="1/2 - c_0 B(u) = (1 - c_0)/2 + c_0(1/2 - B(u)), see share: zero only at u = 0, c_0 = 1.",
    constraint=_u_at_most_c,
)

# One step moves the best action

BEST_ACTION_BELOW = Lemma(
    name="best-action-below",
    statement=r"x(e^x-1)\ge e^x-1-x,\quad |x|\le3",
    ranges=(("x", -3, 3),),
    stated=lambda x: x * (exp(x) - 1) - (exp(x) - 1 - x),
    regular=lambda x: x**2 * (E(1, x) - E(2, x)),
    used_by="one step moves the best action: actions off the maximum",
    note="The difference is x² (E_1 - E_2). ηA* <= 1 leaves x = ηĀ unbounded below, but it holds "
    "for all real x: divided by e^x the difference is e^{-x} - 1 + x, the tangent at -x.",
)

BEST_ACTION_TOP = Lemma(
    name="best-action-top",
    statement=r"x(e^x-1-x)\ge c\,x^2(e^x-1-x),\quad 0\le x\le1,\ 0\le c\le1",
    ranges=(("x", 0, 1), ("c", 0, 1)),
    stated=lambda x, c: x * (exp(x) - 1 - x) - c * x**2 * (exp(x) - 1 - x),
    regular=lambda x, c: x**3 * (1 - x + x * (1 - c)) * E(2, x),
    used_by="one step moves the best action: the maximum, after its part x² of the normaliser",
    note="The difference is x³ (1 - cx) E_2, and 1 - cx = (1 - x) + x(1 - c). x = ηA* <= 1 is the "
    "hypothesis, c is a probability.",
)

# The paper's step

PINSKER = Lemma(
    name="pinsker",
    statement=(
        r"q(1-q)\,(q-p)\,\frac{\partial}{\partial q}\big(\mathrm{KL}(p\|q)-2(p-q)^2\big)\ge0,"
        r"\quad 0\le p,q\le1"
    ),
    ranges=(("p", 0, 1), ("q", 0, 1)),
    stated=lambda p, q: (q - p) * ((q - p) - 4 * q * (1 - q) * (q - p)),
    regular=lambda p, q: ((q - p) * (1 - 2 * q)) ** 2,
    used_by="the paper's step: the 1-norms of D_i and of π'_{<i} - π_{<i}",
    note="KL(p||q) = p log(p/q) + (1-p) log((1-p)/(1-q)) has slope (q-p)/(q(1-q)) in q. So "
    "KL - 2(p-q)² is zero at q = p and does not fall as q moves away. q(1-q) takes out the poles.",
)

#: What the constant-step theorem rests on.
CONSTANT_STEP = (TANGENT, SECANT_SLOPE, BENNETT, BRACKET, BERNOULLI_HALF, SHARE, HALF_SHARE)
#: What "one step moves the best action" rests on.
BEST_ACTION = (TANGENT, BEST_ACTION_BELOW, BEST_ACTION_TOP)
#: What Proposition V.5 rests on, as proved with √N.
PAPER_STEP = (PINSKER,)
#: What the log form of the regret bound rests on: the constant step at c_0 = 1, nothing else.
LOG_FORM = CONSTANT_STEP

#: Every lemma by name.
LEMMAS: dict[str, Lemma] = {
    lemma.name: lemma for lemma in (*CONSTANT_STEP, *BEST_ACTION, *PAPER_STEP)
}


def _false(lemma: Lemma, name: str, statement: str, **changes: Any) -> Lemma:
    """Claim more than a lemma does."""
    used_by = f"control of {lemma.name}"
    return replace(lemma, name=name, statement=statement, used_by=used_by, note="", **changes)


_THREE_HALVES = fmpq(3, 2)
_MIDDLE_HALF = (fmpq(1, 4), fmpq(3, 4))


def _too_large_pinsker(p: Any, q: Any) -> Any:
    return p * log(p / q) + (1 - p) * log((1 - p) / (1 - q)) - 11 * (p - q) ** 2 / 5


#: False variants by the name of the lemma; each must be refuted at a rational point.
CONTROLS: dict[str, tuple[Lemma, ...]] = {
    "tangent": (
        _false(
            TANGENT,
            "tangent-parabola",
            r"e^x\ge1+x+\frac{x^2}2,\quad |x|\le3",
            stated=lambda x: exp(x) - 1 - x - x**2 / 2,
            regular=lambda x: x**3 * E(3, x),
        ),
    ),
    "secant-slope": (
        _false(
            SECANT_SLOPE,
            "secant-slope-half",
            r"\frac{xe^x-e^x+1}{x^2}\ge\frac12,\quad |x|\le3",
            stated=lambda x: (2 * (x * exp(x) - exp(x) + 1) - x**2) / (2 * x**2),
            regular=lambda x: (2 * E(1, x) - 2 * E(2, x) - 1) / 2,
        ),
    ),
    "bennett": (
        _false(
            BENNETT,
            "bennett-slope-sixth",
            r"\frac{y(e^y-1)-2(e^y-1-y)}{y^3}\ge\frac16,\quad |y|\le3",
            stated=lambda y: (6 * (y * (exp(y) - 1) - 2 * (exp(y) - 1 - y)) - y**3) / (6 * y**3),
            regular=lambda y: (6 * E(2, y) - 12 * E(3, y) - 1) / 6,
        ),
    ),
    "bracket": (
        _false(
            BRACKET,
            "bracket-third",
            rf"{_BRACKET}\ge1-\frac{{c_0}}3,\quad 0\le u\le c_0\le3",
            stated=lambda u, c: _bracket(u, c) - (1 - c / 3),
            regular=lambda u, c: c / 3 - (c - u) * E(2, u),
        ),
        _false(
            BRACKET,
            "bracket-to-four",
            rf"{_BRACKET}\ge1-\frac{{c_0}}2,\quad 0\le u\le c_0\le4",
            ranges=(("u", 0, 4), ("c_0", 0, 4)),
        ),
    ),
    "bernoulli-half": (
        _false(
            BERNOULLI_HALF,
            "bernoulli-two-fifths",
            r"B(u)\le\frac25,\quad 0\le u\le3",
            stated=lambda u: (2 * u - 5) / (5 * u) + 1 / (exp(u) - 1),
            regular=lambda u: (2 * E(1, u) - 5 * E(2, u)) / (5 * E(1, u)),
        ),
    ),
    "share": (
        _false(
            SHARE,
            "share-quarter",
            rf"{_SHARE}\ge1-\frac{{c_0}}4,\quad 0\le u\le c_0\le2",
            stated=lambda u, c: _share(u, c) - (1 - c / 4),
            regular=lambda u, c: c * (E(1, u) - 4 * E(2, u)) / (4 * E(1, u)),
        ),
    ),
    "half-share": (
        _false(
            HALF_SHARE,
            "half-share-eleven-twentieths",
            rf"{_SHARE}\ge\frac{{11}}{{20}},\quad 0\le u\le c_0\le1",
            stated=lambda u, c: (20 * _share(u, c) - 11) / 20,
            regular=lambda u, c: (9 * E(1, u) - 20 * c * E(2, u)) / (20 * E(1, u)),
        ),
        _false(
            HALF_SHARE,
            "half-share-to-three-halves",
            rf"{_SHARE}\ge\frac12,\quad 0\le u\le c_0\le\frac32",
            ranges=(("u", 0, _THREE_HALVES), ("c_0", 0, _THREE_HALVES)),
        ),
    ),
    "best-action-below": (
        _false(
            BEST_ACTION_BELOW,
            "best-action-below-twice",
            r"x(e^x-1)\ge 2(e^x-1-x),\quad |x|\le3",
            stated=lambda x: x * (exp(x) - 1) - 2 * (exp(x) - 1 - x),
            regular=lambda x: x**3 * (E(2, x) - 2 * E(3, x)),
        ),
    ),
    "best-action-top": (
        _false(
            BEST_ACTION_TOP,
            "best-action-top-to-three-halves",
            r"x(e^x-1-x)\ge c\,x^2(e^x-1-x),\quad 0\le x\le\frac32,\ 0\le c\le1",
            ranges=(("x", 0, _THREE_HALVES), ("c", 0, 1)),
        ),
    ),
    "pinsker": (
        _false(
            PINSKER,
            "pinsker-eleven-fifths",
            r"\mathrm{KL}(p\|q)\ge\frac{11}5(p-q)^2,\quad \frac14\le p,q\le\frac34",
            ranges=(("p", *_MIDDLE_HALF), ("q", *_MIDDLE_HALF)),
            stated=_too_large_pinsker,
            regular=_too_large_pinsker,
        ),
    ),
}
