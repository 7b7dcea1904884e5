"""The ways of checking a claim, and what each of them needs."""
