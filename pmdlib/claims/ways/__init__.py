"""The ways of checking a claim, and what each of them needs.

One way each: `numeric` (floats), `certifying` (rationals and balls), `symbolic` (generic games),
`lemmas` (scalar facts, by branch and bound), `duel` (attacks). Behind the last: `adversary`
searches and tabulates, `attacks` are the linear programs, `arena` is what is searched, `worst`
keeps the worst instances found. `evidence` is what a way returns; `pmdlib.claims.checking` calls
them in turn.
"""
