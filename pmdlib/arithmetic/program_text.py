"""A recorded program as text: a loop in LLVM IR, for `machine_code` to compile.

All is IEEE double precision, every operation rounded as it stands: nothing is reordered,
contracted or vectorised. So the bits depend on the machine through exp, log and pow of its C
library only.
"""

from collections.abc import Mapping, Sequence
from struct import pack

from pmdlib.arithmetic.recording import RecordingError, Tape

#: Functions of the C library, with the number of their operands.
LIBRARY = {"exp": 1, "log": 1, "pow": 2}


def _call(function: str, count: int) -> str:
    operands = ", ".join(f"double {{{k + 1}}}" for k in range(count))
    return f"{{0}} = call double @{function}({operands})"


def _extreme(beyond: str) -> tuple[str, ...]:
    """Take the second number if it is beyond the first, or NaN; else the first."""
    return (
        f"{{0}}.beyond = fcmp {beyond} double {{2}}, {{1}}",
        "{0}.taken = select i1 {0}.beyond, double {2}, double {1}",
        "{0}.unknown = fcmp uno double {2}, {2}",
        "{0} = select i1 {0}.unknown, double {2}, double {0}.taken",
    )


#: Instructions of each operation: {0} is the result, {1} and {2} are the operands.
_INSTRUCTIONS: dict[str, tuple[str, ...]] = {
    **{name: (f"{{0}} = f{name} double {{1}}, {{2}}",) for name in ("add", "sub", "mul", "div")},
    **{name: (_call(f"pmdlib.{name}", count),) for name, count in LIBRARY.items()},
    "neg": ("{0} = fneg double {1}",),
    "abs": (_call("llvm.fabs.f64", 1),),
    "sqrt": (_call("llvm.sqrt.f64", 1),),
    "max": _extreme("ogt"),
    "min": _extreme("olt"),
}

_DECLARATIONS = "\n".join(
    f"declare double @{name}({', '.join(['double'] * count)}) nounwind willreturn memory(none)"
    for name, count in {
        "llvm.fabs.f64": 1,
        "llvm.sqrt.f64": 1,
        **{f"pmdlib.{name}": count for name, count in LIBRARY.items()},
    }.items()
)


class _Writer:
    """Writes operations as instructions, each input loaded where it is first used.

    Parameters
    ----------
    tape : Tape
    bases : sequence of str
        Pointer to the first entry of each input array.
    prefix : str
        First letters of the names of results.
    """

    def __init__(self, tape: Tape, bases: Sequence[str], prefix: str) -> None:
        self.lines: list[str] = []
        self.names: dict[int, str] = {}
        self._tape, self._bases, self._prefix = tape, bases, prefix

    def operand(self, place: int) -> str:
        """Return the text that stands for a result, an input or a constant."""
        if place not in self.names:
            kind, *rest = self._tape.operations[place]
            if kind == "constant":
                bits = pack(">d", float.fromhex(rest[0])).hex()
                self.names[place] = f"0x{bits}"
            else:
                source, position = rest
                name = self.names[place] = f"%{self._prefix}{place}"
                self.lines += [
                    f"{name}.at = getelementptr double, ptr {self._bases[source]}, i64 {position}",
                    f"{name} = load double, ptr {name}.at",
                ]
        return self.names[place]

    def write(self, place: int) -> None:
        """Write one operation."""
        kind, *operands = self._tape.operations[place]
        texts = [self.operand(operand) for operand in operands]
        name = f"%{self._prefix}{place}"
        self.lines += [line.format(name, *texts) for line in _INSTRUCTIONS[kind]]
        self.names[place] = name


def loop_text(tape: Tape, results: Mapping[int, Sequence[int]]) -> str:
    """Write the loop that applies a program again and again.

    Parameters
    ----------
    tape : Tape
    results : mapping from an input array to the places of its next row

    Returns
    -------
    str
        A function ``void loop(ptr arrays, i64 rows, i64 stride)`` in LLVM IR; ``arrays`` points to
        one pointer an input array. An array with results is a table of rows: row r + stride is
        computed from row r, for r = 0, 1, .., rows - 1 in turn. The other arrays are left as they
        are, and what depends on them alone is computed once.

    Raises
    ------
    RecordingError
        If recording failed.
    """
    if tape.failure:
        raise RecordingError(tape.failure)
    fixed, varying = _split(tape, results)
    sizes = tape.sizes
    once = _Writer(tape, [f"%array{k}" for k in range(len(sizes))], "once")
    for k in range(len(sizes)):
        once.lines += [
            f"%array{k}.at = getelementptr ptr, ptr %arrays, i64 {k}",
            f"%array{k} = load ptr, ptr %array{k}.at",
        ]
    for place in fixed:
        once.write(place)
    bases = [f"%old{k}" if k in results else f"%array{k}" for k in range(len(sizes))]
    row = _Writer(tape, bases, "x")
    row.names |= {place: once.names[place] for place in fixed}
    for k in results:
        row.lines += [
            f"%old{k}.start = mul i64 %r, {sizes[k]}",
            f"%old{k} = getelementptr double, ptr %array{k}, i64 %old{k}.start",
            f"%new{k}.start = mul i64 %target, {sizes[k]}",
            f"%new{k} = getelementptr double, ptr %array{k}, i64 %new{k}.start",
        ]
    for place in varying:
        row.write(place)
    for k, places in results.items():
        for position, place in enumerate(places):
            value = row.operand(place)
            row.lines += [
                f"%new{k}.{position} = getelementptr double, ptr %new{k}, i64 {position}",
                f"store double {value}, ptr %new{k}.{position}",
            ]
    return "\n".join(
        [
            _DECLARATIONS,
            "define void @loop(ptr %arrays, i64 %rows, i64 %stride) {",
            "once:",
            *once.lines,
            "br label %row",
            "row:",
            "%r = phi i64 [ 0, %once ], [ %next, %row ]",
            "%target = add i64 %r, %stride",
            *row.lines,
            "%next = add i64 %r, 1",
            "%more = icmp slt i64 %next, %rows",
            "br i1 %more, label %row, label %end",
            "end:",
            "ret void",
            "}",
        ]
    )


def _split(tape: Tape, results: Mapping[int, Sequence[int]]) -> tuple[list[int], list[int]]:
    """List the operations that the results need: those on fixed inputs alone, and the others."""
    needed = {place for places in results.values() for place in places}
    for place in reversed(range(len(tape.operations))):
        kind, *operands = tape.operations[place]
        if place in needed and kind not in ("input", "constant"):
            needed.update(operands)
    changing: set[int] = set()
    fixed, varying = [], []
    for place in sorted(needed):
        kind, *operands = tape.operations[place]
        if kind == "input":
            if operands[0] in results:
                changing.add(place)
        elif kind != "constant":
            if changing.isdisjoint(operands):
                fixed.append(place)
            else:
                changing.add(place)
                varying.append(place)
    return fixed, varying
