"""The version of code: results are kept under it, and used again only while it is the same.

It has two parts. `INSTALLED` is of pmdlib, every source file of it, with the versions of Python,
NumPy and SciPy. `Version` is of a function, and of all that it refers to outside of installed
packages: other functions, classes, values. It looks at what is loaded, not at files, so that a
notebook's functions have one too, and comments do not count.
"""

import copyreg
import dis
import functools
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
import numpy as np
import scipy

import pmdlib
from pmdlib.errors import PmdError

_PACKAGE = Path(pmdlib.__file__).parent

PLAIN = (type(None), type(...), bool, int, float, complex, str, bytes)
"""Types whose `repr` says all."""


def _installed() -> str:
    """Return the version of pmdlib's sources and data, and of what it stands on."""
    digest = hashlib.sha256()
    digest.update(repr((sys.version_info[:2], np.__version__, scipy.__version__)).encode())
    files = (path for path in _PACKAGE.rglob("*") if path.suffix in (".py", ".json"))
    for name, path in sorted((path.relative_to(_PACKAGE).as_posix(), path) for path in files):
        content = path.read_bytes()
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()


INSTALLED = _installed()
"""Of this process: what it has imported, even if the files change afterwards."""


class Version:
    """The version of a function, and the function as bytes.

    Parameters
    ----------
    function : callable
        A function, a method, or a `functools.partial` of one.

    Raises
    ------
    PmdError
        If the function uses an object that cannot be pickled, such as an open file.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._digest = hashlib.sha256(INSTALLED.encode())
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []  # an object that is gone could pass its id on
        self._modules: set[str | None] = set()
        self._function = function
        self._visit(function, "the function")

    @property
    def text(self) -> str:
        """The version, in hexadecimal digits."""
        return self._digest.hexdigest()

    def pickle(self) -> bytes:
        """Pickle the function by value, with what it uses outside of installed packages."""
        with _by_value(self._modules):
            try:
                return bytes(cloudpickle.dumps(self._function))
            except Exception as error:  # noqa: BLE001 - pickling can raise what any class raises
                raise PmdError(
                    f"the function cannot be sent to a process: {type(error).__name__}: {error}"
                ) from None

    def _add(self, *parts: object) -> None:
        self._digest.update(repr(parts).encode())

    def _visit(self, value: Any, what: str) -> None:
        """Add a value; `what` says in a message what it is."""
        if type(value) in PLAIN:
            self._add(value)
        elif isinstance(value, np.ndarray | np.generic) and value.dtype != object:
            self._add(value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest())
        elif type(value) in (tuple, list):
            self._add(type(value).__name__, len(value))
            for item in value:
                self._visit(item, what)
        elif type(value) is dict:
            self._visit([*value.keys(), *value.values()], what)
        elif type(value) in (set, frozenset) and all(type(item) in PLAIN for item in value):
            self._add("set", sorted(map(repr, value)))  # it has no order of its own
        elif id(value) in self._seen:
            self._add("seen", self._seen[id(value)])
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)
            self._visit_new(value, what)

    def _visit_new(self, value: Any, what: str) -> None:
        """Add an object that may refer to itself, which is met for the first time."""
        if isinstance(value, FunctionType):
            self._visit_function(value)
        elif isinstance(value, ModuleType):
            self._visit_module(value)
        elif isinstance(value, type) and _is_own(sys.modules.get(value.__module__)):
            self._visit_class(value)
        elif isinstance(value, type):
            self._add(value.__module__, value.__qualname__)
        elif isinstance(value, property):
            self._visit([value.fget, value.fset, value.fdel], what)
        elif isinstance(value, functools.cached_property):
            self._visit(value.func, what)
        elif hasattr(value, "__wrapped__"):  # such as what lru_cache makes of a function
            self._visit(value.__wrapped__, what)
        else:
            self._visit_object(value, what)

    def _visit_object(self, value: Any, what: str) -> None:
        """Add what pickle would keep of an object: its type and state, or a name."""
        kind: Any = type(value)
        reduce = copyreg.dispatch_table.get(kind)
        try:
            kept: Any = reduce(value) if reduce is not None else kind.__reduce_ex__(value, 4)
        except Exception as error:  # noqa: BLE001 - reducing can raise what any class raises
            raise PmdError(f"{what} cannot be sent to a process: {error}") from None
        if isinstance(kept, str):
            self._add(getattr(value, "__module__", None), kept)
            return
        make, arguments, state, items, pairs = (*kept, None, None, None)[:5]
        if isinstance(state, dict):  # what was computed and put aside says nothing new
            aside = functools.cached_property
            state = {k: v for k, v in state.items() if not isinstance(getattr(kind, k, 0), aside)}
        self._visit([make, arguments, state, list(items or ()), list(pairs or ())], what)

    def _visit_function(self, function: FunctionType) -> None:
        """Add the code of a function, and what it refers to."""
        name, code = function.__qualname__, function.__code__
        if not _is_own_file(code.co_filename):
            self._add(function.__module__, name)
            return
        self._modules.add(function.__module__)
        self._visit_code(code)
        self._visit([function.__defaults__, function.__kwdefaults__], f"a default of {name}")
        for free, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self._visit(cell.cell_contents, f"{free!r}, which {name} uses,")
        for used in dict.fromkeys(_names(code, "LOAD_GLOBAL", "LOAD_NAME")):
            self._add(used)
            if used in function.__globals__:
                self._visit(function.__globals__[used], f"{used!r}, which {name} uses,")
        for imported in dict.fromkeys(_names(code, "IMPORT_NAME")):
            if (module := _find_own(imported)) is not None:
                self._visit(module, imported)

    def _visit_code(self, code: CodeType) -> None:
        """Add what code does; not where it is written."""
        self._add(code.co_code, code.co_exceptiontable, code.co_flags, code.co_names)
        self._add(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        self._add(code.co_varnames, code.co_freevars, code.co_cellvars)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._visit_code(constant)
            else:
                self._visit(constant, "a constant")

    def _visit_class(self, value: type) -> None:
        """Add the methods and constants of a class."""
        self._modules.add(value.__module__)
        self._add("class", value.__qualname__)
        self._visit(value.__bases__, f"a base of {value.__qualname__}")
        for name, item in vars(value).items():
            method = item.__func__ if isinstance(item, staticmethod | classmethod) else item
            if isinstance(method, FunctionType | property) or not name.startswith(("__", "_abc_")):
                self._add(name)
                self._visit(method, f"{value.__qualname__}.{name}")

    def _visit_module(self, module: ModuleType) -> None:
        """Add the file of a module, and of those that it refers to."""
        file = getattr(module, "__file__", None)
        if file is None or not _is_own(module):
            self._add(module.__name__, getattr(module, "__version__", None))
            return
        self._add(Path(file).read_bytes())
        for name, item in vars(module).items():
            other = item if isinstance(item, ModuleType) else None
            if other is None and isinstance(item, FunctionType | type):
                other = sys.modules.get(item.__module__)
            if other is not None and _is_own(other):
                self._visit(other, name)


def _names(code: CodeType, *operations: str) -> Iterator[str]:
    """List the names with which code, and the code in it, does one of some operations."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in operations:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant, *operations)


def _find_own(name: str) -> ModuleType | None:
    """Return the module that a function imports, if it is the user's."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None  # the function will say so
    if spec is None or not spec.has_location or not _is_own_file(spec.origin or "<frozen>"):
        return None
    return import_module(name)


def _is_own(module: ModuleType | None) -> bool:
    """Say whether a module is the user's: neither pmdlib, nor installed, nor of Python itself."""
    if module is None or module.__name__ == "__main__":
        return True
    return _is_own_file(getattr(module, "__file__", None) or "<frozen>")


@functools.cache
def _is_own_file(name: str) -> bool:
    """Say whether code of a file is the user's; that of a notebook's cell is."""
    if name.startswith("<frozen"):
        return False
    path = Path(name)
    if {"site-packages", "dist-packages"} & set(path.parts) or path.is_relative_to(_PACKAGE):
        return False
    return not path.is_relative_to(sysconfig.get_path("stdlib"))


@contextmanager
def _by_value(names: set[str | None]) -> Iterator[None]:
    """Let cloudpickle take functions and classes of some modules by value."""
    already = cloudpickle.list_registry_pickle_by_value() | {"__main__", "builtins", None}
    modules = [sys.modules[name] for name in names - already if name in sys.modules]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
