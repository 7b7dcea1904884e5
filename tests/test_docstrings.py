"""Docstrings say what is so: their examples run, and their sections agree with the signatures.

Examples may use `np` and `pmd` without importing them, as NumPy's do.

Lists of parameters and attributes are right wherever they stand. What people reach (the public
names, the names that packages hand on, and what README, CONTRIBUTING and notebooks use) says more:
the errors it raises, what it returns beside a list of parameters, and every parameter, in such a
list or by its name in the text, if there are two or more. Two kinds of names need no words: those
that mean the same throughout (`VOCABULARY`), and those of a method that a base class describes.
"""

import ast
import builtins
import doctest
import importlib
import io
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import pmdlib as pmd

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pmdlib"

# What users extend the library with, besides the public names.
EXTENDED = (
    "pmdlib.claims.claim.Claim",
    "pmdlib.claims.claim.Comparison",
    "pmdlib.claims.claim.Control",
    "pmdlib.games.catalogue",
    "pmdlib.learning.feedback.Feedback",
    "pmdlib.learning.learners.Learner",
    "pmdlib.workspace.sweep.sweep",
)

# Names that mean the same throughout; README (table of symbols), design of the modules.
VOCABULARY = {
    "game": "a MarkovGame",
    "policy": "tuple of N arrays (..., S, A_i)",
    "rng": "numpy.random.Generator",
    "evaluation": "an Evaluation",
    "claim": "a Claim",
    "instance": "an Instance",
    "seed": "int >= 0",
    "profile": '"quick" or "full"',
    "num_agents": "N",
    "num_states": "S",
    "num_actions": "the sizes of the action sets, one number for each agent",
    "discount": "γ",
    "phi_max": "φmax, the largest stage potential",
    "step": "η",
    "iterations": "T",
    "mismatch": "κ",
    "mirror_map": "a name, or a MirrorMap",
    "axes": "of matplotlib",
    "figure": "of matplotlib",
}


# Examples


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def prompts(path):
    """Number of examples in the docstrings of a module, as its text has them."""
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = (ast.get_docstring(node) for node in ast.walk(tree(path)) if isinstance(node, nodes))
    return sum(len(re.findall(r"^ *>>> ", text or "", flags=re.MULTILINE)) for text in texts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
WITH_EXAMPLES = [name for name, path in MODULES.items() if prompts(path)]


def run_examples(module):
    """Run the examples of a module; return how many there are, and what went wrong."""
    said = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in doctest.DocTestFinder().find(module, globs={"np": np, "pmd": pmd}):
        runner.run(test, out=said.write)
    return runner.tries, said.getvalue()


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run_and_print_what_they_say(name):
    tries, failures = run_examples(importlib.import_module(name))
    assert not failures, failures
    assert tries == prompts(MODULES[name]), "doctest finds only a part of the examples"


def documented(name):
    """The object of a dotted name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, last = name.rpartition(".")
        return getattr(documented(module), last)


@pytest.mark.parametrize("name", [f"pmdlib.{name}" for name in pmd.__all__] + [*EXTENDED])
def test_what_users_meet_has_an_example(name):
    if name == "pmdlib.claims":  # a dictionary: its package speaks for it
        text = ast.get_docstring(tree(PACKAGE / "claims" / "__init__.py"))
    else:
        text = documented(name).__doc__
    assert re.search(r"^ *Examples\n *-{8}\n(.*\n)*? *>>> ", text, flags=re.MULTILINE)


def test_a_wrong_example_is_found():
    module = importlib.import_module("types").ModuleType("wrong")
    module.__doc__ = ">>> 1 + 1\n3\n>>> np.eye(1).tolist()\n[[1.0]]\n"
    tries, failures = run_examples(module)
    assert tries == 2
    assert failures.count("Failed example:") == 1


# Sections and signatures


@dataclass(frozen=True)
class Described:
    """A public function, method or class with its docstring."""

    place: str
    node: ast.AST
    owner: ast.ClassDef | None = None

    @property
    def text(self):
        return ast.get_docstring(self.node) or ""

    @property
    def sections(self):
        parts = re.split(r"^([A-Z][a-z]+)\n-+$", self.text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    @property
    def parameters(self):
        """Name -> annotation, as text; of a class, those of its __init__, or its fields."""
        if isinstance(self.node, ast.ClassDef):
            return initial(self.node)
        given = self.node.args
        every = [*given.posonlyargs, *given.args, given.vararg, *given.kwonlyargs, given.kwarg]
        found = {arg.arg: ast.unparse(arg.annotation or ast.Name("")) for arg in every if arg}
        return {name: kind for name, kind in found.items() if name not in {"self", "cls"}}

    @property
    def returns(self):
        return ast.unparse(self.node.returns or ast.Name(""))


def entries(section):
    """Name -> what stands behind its colon, for the lines of a section that are not indented."""
    found = {}
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names, _, kind = line.partition(" : ")
            found |= {name.strip().lstrip("*"): kind for name in names.split(",")}
    return found


def is_public(node):
    kinds = (ast.FunctionDef, ast.ClassDef)
    return isinstance(node, kinds) and not node.name.startswith("_")


def described(path):
    """Every public function, class and public method of a module."""
    for node in filter(is_public, tree(path).body):
        place = f"{module_name(path)}.{node.name}"
        yield Described(place, node)
        if isinstance(node, ast.ClassDef):
            for method in filter(is_public, node.body):
                yield Described(f"{place}.{method.name}", method, node)


EVERYTHING = {each.place: each for path in MODULES.values() for each in described(path)}
FUNCTIONS = [each for each in EVERYTHING.values() if isinstance(each.node, ast.FunctionDef)]
CLASSES = {
    node.name: node
    for path in MODULES.values()
    for node in ast.walk(tree(path))
    if isinstance(node, ast.ClassDef)
}


def snippets():
    """The code of the documents and of the notebooks."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        yield from re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield from ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@cache
def reached():
    """Last parts of the names that people use: imported, after a dot, or in an __all__."""
    names = set()
    for source in snippets():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                names |= {each.name for each in node.names}
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
    for path in PACKAGE.rglob("__init__.py"):
        for line in tree(path).body:
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "__all__":
                names |= set(ast.literal_eval(line.value))
    return names


def lineage(node):
    """A class and its base classes, as far as they are ours."""
    bases = (CLASSES.get(ast.unparse(base).rpartition(".")[2]) for base in node.bases)
    return [node, *(each for base in bases if base for each in lineage(base))]


def fields(node):
    """Name -> annotation of the annotated names in the body of a class, and of its bases."""
    found = {}
    for one in reversed(lineage(node)):
        for line in one.body:
            if isinstance(line, ast.AnnAssign):
                found[line.target.id] = ast.unparse(line.annotation)
    return found


def initial(node):
    """Parameters of __init__, of the class or of a base; of a dataclass, its fields."""
    for one in lineage(node):
        for method in one.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                return Described("", method).parameters
    return fields(node)


def attributes(node):
    """Names of what instances have: fields, properties, and what methods assign."""
    found = set(fields(node))
    for one in lineage(node):
        for line in ast.walk(one):
            if isinstance(line, ast.FunctionDef):
                found.add(line.name)
            elif isinstance(line, ast.Attribute) and isinstance(line.ctx, ast.Store):
                found.add(line.attr)
            elif isinstance(line, ast.Assign):
                found |= {each.id for each in line.targets if isinstance(each, ast.Name)}
    return found


def overrides(each):
    """Whether a base class of ours describes a method of this name."""
    return each.owner is not None and any(
        isinstance(method, ast.FunctionDef)
        and method.name == each.node.name
        and ast.get_docstring(method)
        for base in lineage(each.owner)[1:]
        for method in base.body
    )


def listed_wrongly(each):
    """What the lists of parameters and attributes get wrong, in words."""
    found = []
    if "Parameters" in each.sections:
        said, real = list(entries(each.sections["Parameters"])), list(each.parameters)
        if said != real:
            found.append(f"{each.place}: Parameters {said}, the signature has {real}")
    if "Attributes" in each.sections:
        unknown = set(entries(each.sections["Attributes"])) - attributes(each.node)
        found += [f"{each.place}: there is no attribute {name}" for name in sorted(unknown)]
    return found


def left_unsaid(each):
    """Parameters of a function that nothing describes."""
    names = list(each.parameters)
    if len(names) < 2 or "Parameters" in each.sections or overrides(each):
        return []
    return [
        f"{each.place}: {name}"
        for name in names
        if name not in VOCABULARY and not re.search(rf"\b{name}\b", each.text)
    ]


def returned_wrongly(each):
    """A section on what is returned where nothing is, or none beside a list of parameters."""
    says = bool({"Returns", "Yields"} & each.sections.keys())
    nothing = each.returns in {"None", "Never", "NoReturn"}
    if says and nothing:
        return [f"{each.place}: Returns, but it returns nothing"]
    if "Parameters" in each.sections and not says and not nothing:
        return [f"{each.place}: Parameters without Returns"]
    return []


ERRORS = {"PmdError", *(name for name, node in CLASSES.items() if len(lineage(node)) > 1)}
ERRORS |= {name for name, value in vars(builtins).items() if isinstance(value, type)}


def raised_wrongly(each):
    """Errors that are named and do not exist, or are raised here and not named."""
    named = entries(each.sections.get("Raises", ""))
    found = [f"{each.place}: there is no error {name}" for name in named.keys() - ERRORS]
    for line in own_statements(each.node):
        if isinstance(line, ast.Raise) and isinstance(line.exc, ast.Call):
            error = ast.unparse(line.exc.func)
            if error in CLASSES and error not in each.text and not overrides(each):
                found.append(f"{each.place}: raises {error}, and does not say so")
    return found


def own_statements(node):
    """Walk a function without the functions in it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            yield child
            yield from own_statements(child)


ARRAYS = re.compile(r"\b(Array|ArrayLike|Policy)\b")


def shapeless(each):
    """Array parameters and attributes in lists that give them no shape."""
    found = []
    listed = each.sections.get("Parameters", "") + each.sections.get("Attributes", "")
    kinds = each.parameters
    for name, said in entries(listed).items():
        if ARRAYS.search(kinds.get(name, "")) and "(" not in said and "As in" not in listed:
            found.append(f"{each.place}: {name} : {said}")
    return found


def wrong(rule, chosen):
    return [line for each in chosen for line in rule(each)]


@pytest.mark.parametrize("rule", [listed_wrongly, shapeless])
def test_lists_of_docstrings_agree_with_the_code(rule):
    assert wrong(rule, EVERYTHING.values()) == []


@pytest.mark.parametrize("rule", [left_unsaid, returned_wrongly, raised_wrongly])
def test_docstrings_of_what_people_reach_are_complete(rule):
    chosen = [each for each in FUNCTIONS if each.node.name in reached()]
    assert len(chosen) > 200
    assert "\n".join(wrong(rule, chosen)) == ""


def function(signature, *lines, body="pass"):
    """A function with a docstring of these lines."""
    text = "\n".join(["Do it.", "", *lines]).replace("\n", "\n    ")
    source = f'def f({signature}:\n    """{text}\n    """\n    {body}\n'
    return Described("f", ast.parse(source).body[0])


PARAMETERS, RETURNS = ("Parameters", "----------"), ("Returns", "-------")


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        (listed_wrongly, ("a, b)", *PARAMETERS, "a : int"), ("a)", *PARAMETERS, "a : int")),
        (listed_wrongly, ("a)", *PARAMETERS, "b : int"), ("a, b)", *PARAMETERS, "a, b : int")),
        (left_unsaid, ("game, often)", "To a game."), ("game, often)", "As ``often`` as needed.")),
        (returned_wrongly, ("a) -> None", *RETURNS, "int"), ("a) -> int", *RETURNS, "int")),
        (returned_wrongly, ("a) -> int", *PARAMETERS, "a : int"), ("a) -> int", "Of ``a``.")),
        (
            raised_wrongly,
            ("a)", "Raises", "------", "NoError"),
            ("a)", "Raises", "------", "OSError"),
        ),
        (
            shapeless,
            ("a: Array)", *PARAMETERS, "a : ndarray"),
            ("a: Array)", *PARAMETERS, "a : ndarray (S,)"),
        ),
    ],
)
def test_a_wrong_docstring_is_found_and_a_right_one_passes(rule, wrong, right):
    assert len(rule(function(*wrong))) == 1
    assert rule(function(*right)) == []


def test_an_error_that_nobody_mentions_is_found():
    silent = function("a)", body='raise PmdError("no")')
    assert raised_wrongly(silent) == ["f: raises PmdError, and does not say so"]
    assert raised_wrongly(function("a)", "Or PmdError.", body='raise PmdError("no")')) == []
