"""Products of large tables with vectors on their right, on their left, or both, with one reading.

Reading a large table takes longer than multiplying it. NumPy reads it for each product, and many
tables at a fraction of the speed of the memory. Here every row, once read, gives its inner product
with one vector to the first result, and is added with its weight to the second. This second result,
as wide as the table, stays in registers down all rows, so that nothing but the table itself passes
through the caches. Registers have names, not indices: the code is written out for a width, in LLVM
IR, and compiled when the width is first met.

A processor that is asked for one line of memory after another waits for each page's first. So the
table is read from `STREAMS` places in turn: while one part is worked on, others are on their way.
"""

from functools import lru_cache
from math import prod

import numpy as np

from pmdlib.arithmetic import Array
from pmdlib.arithmetic.machine_code import HostFunction

#: Numbers in a register: the widest of today's processors. Others take several for each.
LANES = 8

#: Parts of a table that are read in turn, and numbers of a part read at a turn, as nearly as rows
#: allow. Measured: four take two thirds to four fifths of the time of one where the table lies in
#: the last cache, and as long where it does not; with eight they are in each other's way.
STREAMS, TURN = 4, 2**8

#: Widest row for which code is written: a few thousand instructions, compiled within 0.1 s. Beyond
#: some hundred numbers the registers do not suffice; at this width that costs a third of the speed.
WIDEST = 1024


def products(tables: Array, across: Array | None = None, down: Array | None = None) -> list[Array]:
    """Compute Σ_j T_ij x_j, or Σ_i y_i T_ij, or both with one reading of the tables T.

    The sums are not those of NumPy to the last bit, but the same whenever they are repeated. Tables
    that are wider than `WIDEST`, or not contiguous, are left to NumPy, and so are all where there
    is no LLVM.

    Parameters
    ----------
    tables : ndarray (..., L, R) of float64
    across : ndarray (..., R), optional
        x for each table; leading axes are broadcast to those of the tables.
    down : ndarray (..., L), optional
        y for each table, likewise.

    Returns
    -------
    list of arrays
        (..., L) if there is an ``across``, then (..., R) if there is a ``down``.
    """
    *lead, height, width = tables.shape
    ready = tables.flags.c_contiguous and tables.size and width <= WIDEST
    compiled = _compiled(width, across is not None, down is not None) if ready else None
    found = []
    if compiled is None:
        if across is not None:
            found.append((tables @ across[..., None])[..., 0])
        if down is not None:
            found.append((down[..., None, :] @ tables)[..., 0, :])
        return found
    x = right = y = left = None
    if across is not None:
        x, right = _one_each(across, (*lead, width)), np.empty((*lead, height))
    if down is not None:
        y, left = _one_each(down, (*lead, height)), np.empty((*lead, width))
    compiled((tables, x, y, right, left), prod(lead), height)
    return [result for result in (right, left) if result is not None]


def _one_each(vectors: Array, shape: tuple[int, ...]) -> Array:
    """Lay vectors out, one for each table, unless they lie so."""
    if vectors.shape == shape and vectors.flags.c_contiguous:
        return vectors
    each = np.empty(shape)
    each[...] = vectors
    return each


@lru_cache
def _compiled(width: int, across: bool, down: bool) -> HostFunction | None:
    try:
        return HostFunction(_text(width, across, down), "products", arrays=5, numbers=2)
    except (ImportError, OSError, RuntimeError):
        return None


#: For all tables: for all rows. The n-th row to be read is row n mod R of a turn of R; turns go
#: round the streams, whose parts lie `apart`. Rows left over by full rounds come last. What is done
#: for each of the two vectors, and to each register, `_text` fills in.
_TABLES = """
{declarations}
define void @products(ptr noalias %tables, ptr noalias %across, ptr noalias %down,
                      ptr noalias %right, ptr noalias %left, i64 %count, i64 %height) {{
start:
  %rounds = udiv i64 %height, {round}
  %apart = mul i64 %rounds, {turn}
  %streamed = mul i64 %rounds, {round}
  br label %table
table:
  %number = phi i64 [ 0, %start ], [ %number.next, %finish ]
  %first = mul i64 %number, %height
  %columns = mul i64 %number, {width}
  %x.at = getelementptr double, ptr %across, i64 %columns
  %left.at = getelementptr double, ptr %left, i64 %columns
  {begin}
  br label %row
row:
  %n = phi i64 [ 0, %table ], [ %n.next, %row ]
  {keep}
  %inside = urem i64 %n, {turn}
  %turn = udiv i64 %n, {turn}
  %stream = urem i64 %turn, {streams}
  %done = udiv i64 %turn, {streams}
  %part = mul i64 %stream, %apart
  %read = mul i64 %done, {turn}
  %place = add i64 %part, %read
  %in.turn = add i64 %place, %inside
  %early = icmp ult i64 %n, %streamed
  %in.table = select i1 %early, i64 %in.turn, i64 %n
  %i = add i64 %first, %in.table
  %begin = mul i64 %i, {width}
  %row.at = getelementptr double, ptr %tables, i64 %begin
  {weigh}
  {read}
  {reduce}
  %n.next = add i64 %n, 1
  %more = icmp slt i64 %n.next, %height
  br i1 %more, label %row, label %finish
finish:
  {end}
  %number.next = add i64 %number, 1
  %another = icmp slt i64 %number.next, %count
  br i1 %another, label %table, label %end
end:
  ret void
}}
"""

#: What only the product with the vector across needs.
_BEGIN = """
  %x{k}.at = getelementptr double, ptr %x.at, i64 {k}
  %x{k} = load {kind}, ptr %x{k}.at, align 8
"""

_TIMES_ACROSS = """
  %tx{k} = fmul contract {kind} %t{k}, %x{k}
  %sum{k} = fadd contract {kind} {before}, %tx{k}
"""

_REDUCE = """
  %total{lanes} = call reassoc double @llvm.vector.reduce.fadd.v{lanes}f64(
                       double {before}, {kind} {sum})
"""

_STORE = """
  %right.at = getelementptr double, ptr %right, i64 %i
  store double {total}, ptr %right.at
"""

_DECLARATION = "declare double @llvm.vector.reduce.fadd.v{lanes}f64(double, {kind})\n"

#: What only the product with the vector down needs.
_KEEP = """
  %left{k} = phi {kind} [ zeroinitializer, %table ], [ %left{k}.next, %row ]
"""

_WEIGH = """
  %y.at = getelementptr double, ptr %down, i64 %i
  %y = load double, ptr %y.at
"""

_TIMES_DOWN = """
  %y{k}.alone = insertelement {kind} poison, double %y, i64 0
  %y{k} = shufflevector {kind} %y{k}.alone, {kind} poison, <{lanes} x i32> zeroinitializer
  %yt{k} = fmul contract {kind} %y{k}, %t{k}
  %left{k}.next = fadd contract {kind} %left{k}, %yt{k}
"""

_END = """
  %left{k}.at = getelementptr double, ptr %left.at, i64 {k}
  store {kind} %left{k}.next, ptr %left{k}.at, align 8
"""

#: Volatile loads keep their order: memory is fast only for those who read it from front to back.
_READ = """
  %t{k}.at = getelementptr double, ptr %row.at, i64 {k}
  %t{k} = load volatile {kind}, ptr %t{k}.at, align 8
"""


def _text(width: int, across: bool, down: bool) -> str:
    """Write the function for rows of so many numbers: full registers, and one for the rest."""
    begin = keep = read = reduce = end = declarations = ""
    sums: dict[int, str] = {}
    for k in range(0, width, LANES):
        lanes = min(LANES, width - k)
        names = {"k": k, "lanes": lanes, "kind": f"<{lanes} x double>"}
        read += _READ.format(**names)
        if down:
            keep += _KEEP.format(**names)
            read += _TIMES_DOWN.format(**names)
            end += _END.format(**names)
        if across:
            begin += _BEGIN.format(**names)
            before = sums.get(lanes, "zeroinitializer")
            read += _TIMES_ACROSS.format(**names, before=before)
            sums[lanes] = f"%sum{k}"
    if across:
        total = "0.0"
        for lanes, register in sums.items():
            names = {"lanes": lanes, "kind": f"<{lanes} x double>"}
            declarations += _DECLARATION.format(**names)
            reduce += _REDUCE.format(**names, before=total, sum=register)
            total = f"%total{lanes}"
        reduce += _STORE.format(total=total)
    turn = max(TURN // width, 1)
    return _TABLES.format(
        width=width,
        turn=turn,
        streams=STREAMS,
        round=STREAMS * turn,
        declarations=declarations,
        begin=begin,
        keep=keep,
        weigh=_WEIGH if down else "",
        read=read,
        reduce=reduce,
        end=end,
    )
