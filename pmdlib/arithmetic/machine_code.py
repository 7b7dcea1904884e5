"""Machine code: recorded programs, for the plainest processor of the platform, and host functions.

A recorded program is compiled once per text, for a processor without extensions, so that its bits
are the same on all processors of a platform.
"""

import ctypes
import os
from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

from pmdlib.arithmetic.arrays import Array
from pmdlib.arithmetic.program_text import LIBRARY

#: Programs whose machine code is kept, some 100 kB each.
PROGRAMS_KEPT = 64

#: Effort of the compiler, 0 to 3. The least takes a tenth of the time of the next (90 ms for
#: 16 000 operations) for code of half the speed, and there is nothing left to simplify.
_EFFORT = 0

_ONE_AT_A_TIME = Lock()


def _compile_module(text: str, **machine: Any) -> Any:
    """Compile a module for a target machine with these options."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(jit=True, **machine)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(text), target)
    engine.finalize_object()
    return engine


class HostFunction:
    """A function written in LLVM IR, compiled for the very processor that runs it; thread-safe.

    Parameters
    ----------
    text : str
        Its arguments are pointers to arrays of float64, then integers (i64); it returns nothing.
    name : str
        Its name in the text.
    arrays, numbers : int
        How many arguments are pointers, and how many are integers.

    Raises
    ------
    ImportError, OSError, RuntimeError
        Where LLVM is missing, or does not accept the text.
    """

    def __init__(self, text: str, name: str, *, arrays: int, numbers: int) -> None:
        from llvmlite import binding  # only those who compile wait for it

        features = binding.get_host_cpu_features().flatten()
        cpu = binding.get_host_cpu_name()
        with _ONE_AT_A_TIME:
            self._engine = _compile_module(text, cpu=cpu, features=features, opt=3)
        kinds = [ctypes.c_void_p] * arrays + [ctypes.c_int64] * numbers
        address = self._engine.get_function_address(name)
        self._function = ctypes.CFUNCTYPE(None, *kinds)(address)

    def __call__(self, arrays: Sequence[Array | None], *numbers: int) -> None:
        """Call it with contiguous arrays of float64 and integers; other threads run meanwhile.

        None stands for an array that is not used.
        """
        places = (None if array is None else array.ctypes.data for array in arrays)
        self._function(*places, *numbers)


class Loop:
    """Machine code of a `loop_text`; thread-safe, and it lets other threads run.

    Parameters
    ----------
    text : str

    Raises
    ------
    ImportError, OSError, RuntimeError
        Where LLVM or the C library is missing, or LLVM does not accept the text.
    """

    def __init__(self, text: str) -> None:
        from llvmlite import binding  # only those who compile wait for it

        library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
        for name in LIBRARY:
            address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
            binding.add_symbol(f"pmdlib.{name}", address)
        self._engine = _compile_module(text, opt=_EFFORT)
        signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
        self._function = signature(self._engine.get_function_address("loop"))

    def __call__(self, arrays: Sequence[Array], rows: int, stride: int) -> None:
        """Run the loop on contiguous arrays of float64."""
        if not rows:
            return
        pointers = (ctypes.c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))
        self._function(pointers, rows, stride)


@lru_cache(maxsize=PROGRAMS_KEPT)
def _compile(text: str) -> Loop:
    return Loop(text)


def compiled(text: str) -> Loop:
    """Return the machine code of a `loop_text`, compiled only if it is new; see `Loop`."""
    with _ONE_AT_A_TIME:
        return _compile(text)
