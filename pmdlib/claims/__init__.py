"""What the paper says: the registry of claims, and `verify`.

As an attribute, ``pmdlib.claims`` is the registry itself, a mapping by name. What else this
package holds is imported by its full path: ``from pmdlib.claims.checking import check``. Every
module here that has ``CLAIMS``, a tuple, is found by itself.

Examples
--------
Every claim carries controls, which must be refuted; here is what a control of one says.

>>> import pmdlib as pmd
>>> claim = pmd.claims["performance-difference"]
>>> claim.tag, claim.notebook
('paper', '03-performance-difference')
>>> claim.controls[0].description
'occupancy of the old policy in place of the new one, stay-or-leave game'
"""

from pmdlib import plugins
from pmdlib.claims.checking import check, unknown_claim
from pmdlib.claims.claim import Verdict
from pmdlib.claims.registry import Registry, collect

#: Every claim by name, in the order of the notebooks that show them.
claims = Registry(collect(__name__, __path__))


def verify(
    name: str, profile: str = "quick", *, seed: int = 0, instances: int | None = None
) -> Verdict:
    """Check one claim on its instances and all its controls.

    Parameters
    ----------
    name : str
        A key of `pmdlib.claims`.
    profile : "quick" or "full"
        How many instances.
    seed : int
    instances : int, optional
        Number of instances, in place of what the profile says.

    Returns
    -------
    Verdict

    Raises
    ------
    PmdError
        If there is no such claim or profile.

    Examples
    --------
    >>> verdict = pmd.verify("mirror-step-euclidean", instances=5)
    >>> verdict.verdict, [*verdict.ways]
    ('verified', ['numeric', 'exact', 'symbolic'])
    >>> all(result.refuted for result in verdict.controls.values())
    True
    """
    if name not in claims:
        raise unknown_claim(name, list(claims), plugins.problems(plugins.CLAIMS))
    return check(claims[name], profile, seed=seed, instances=instances)
