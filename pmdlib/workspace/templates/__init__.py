"""Templates that work as they stand, and the code that fills them: what `pmdlib new` writes.

The files under ``data`` are whole: a claim that is true, its test, its notebook, a game, a
workspace. Filling one means to put names in the place of ``my-claim``, ``00-my-notebook``, ...
"""
