"""The commands of `pmdlib`, one in each module.

A module adds its own parser with `add_parser(commands)`, and sets the function that is called with
the options and returns the exit status. At import it must load nothing heavy.
"""
