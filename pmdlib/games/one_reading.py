"""Two products with one reading: tables times a vector on their right, and one on their left.

Reading a large table takes longer than both products, and NumPy reads it for each. Here every row,
once read, gives its inner product with one vector to the first result, and is added with its weight
to the second. This second result, as wide as the table, stays in registers down all rows, so that
nothing but the table itself passes through the caches. Registers have names, not indices: the code
is written out for a width, in LLVM IR, and compiled when the width is first met.

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


def both_products(tables: Array, across: Array, down: Array) -> tuple[Array, Array]:
    """Compute Σ_j T_ij x_j and Σ_i y_i T_ij with one reading of the tables T.

    The sums are not those of NumPy to the last bit, but the same whenever they are repeated. Tables
    that are wider than `WIDEST`, or not contiguous, are read twice, and so are all where there is
    no LLVM.

    Parameters
    ----------
    tables : ndarray (..., L, R) of float64
    across : ndarray (..., R)
        x for each table; leading axes are broadcast to those of the tables.
    down : ndarray (..., L)
        y for each table, likewise.

    Returns
    -------
    arrays (..., L) and (..., R)
    """
    *lead, height, width = tables.shape
    ready = tables.flags.c_contiguous and tables.size and width <= WIDEST
    products = _compiled(width) if ready else None
    if products is None:
        return (tables @ across[..., None])[..., 0], (down[..., None, :] @ tables)[..., 0, :]
    across, down = _one_each(across, (*lead, width)), _one_each(down, (*lead, height))
    right, left = np.empty((*lead, height)), np.empty((*lead, width))
    products((tables, across, down, right, left), prod(lead), height)
    return right, left


def _one_each(vectors: Array, shape: tuple[int, ...]) -> Array:
    same = vectors.shape == shape
    return np.ascontiguousarray(vectors if same else np.broadcast_to(vectors, shape))


@lru_cache
def _compiled(width: int) -> HostFunction | None:
    try:
        return HostFunction(_text(width), "products", arrays=5, numbers=2)
    except (ImportError, OSError, RuntimeError):
        return None


#: For all tables: for all rows. The n-th row to be read is row n mod R of a turn of R; turns go
#: round the streams, whose parts lie `apart`. Rows left over by full rounds come last. What is done
#: to each register, `_text` fills in.
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
  %y.at = getelementptr double, ptr %down, i64 %i
  %y = load double, ptr %y.at
  {read}
  {reduce}
  %right.at = getelementptr double, ptr %right, i64 %i
  store double {total}, ptr %right.at
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

_BEGIN = """
  %x{k}.at = getelementptr double, ptr %x.at, i64 {k}
  %x{k} = load {kind}, ptr %x{k}.at, align 8
"""

_KEEP = """
  %left{k} = phi {kind} [ zeroinitializer, %table ], [ %left{k}.next, %row ]
"""

#: Volatile loads keep their order: memory is fast only for those who read it from front to back.
_READ = """
  %t{k}.at = getelementptr double, ptr %row.at, i64 {k}
  %t{k} = load volatile {kind}, ptr %t{k}.at, align 8
  %y{k}.alone = insertelement {kind} poison, double %y, i64 0
  %y{k} = shufflevector {kind} %y{k}.alone, {kind} poison, <{lanes} x i32> zeroinitializer
  %yt{k} = fmul contract {kind} %y{k}, %t{k}
  %left{k}.next = fadd contract {kind} %left{k}, %yt{k}
  %tx{k} = fmul contract {kind} %t{k}, %x{k}
  %sum{k} = fadd contract {kind} {before}, %tx{k}
"""

_REDUCE = """
  %total{lanes} = call reassoc double @llvm.vector.reduce.fadd.v{lanes}f64(
                       double {before}, {kind} {sum})
"""

_END = """
  %left{k}.at = getelementptr double, ptr %left.at, i64 {k}
  store {kind} %left{k}.next, ptr %left{k}.at, align 8
"""

_DECLARATION = "declare double @llvm.vector.reduce.fadd.v{lanes}f64(double, {kind})\n"


def _text(width: int) -> str:
    """Write the function for rows of so many numbers: full registers, and one for the rest."""
    begin = keep = read = end = declarations = reduce = ""
    sums: dict[int, str] = {}
    for k in range(0, width, LANES):
        lanes = min(LANES, width - k)
        names = {"k": k, "lanes": lanes, "kind": f"<{lanes} x double>"}
        begin += _BEGIN.format(**names)
        keep += _KEEP.format(**names)
        read += _READ.format(**names, before=sums.get(lanes, "zeroinitializer"))
        end += _END.format(**names)
        sums[lanes] = f"%sum{k}"
    total = "0.0"
    for lanes, register in sums.items():
        names = {"lanes": lanes, "kind": f"<{lanes} x double>"}
        declarations += _DECLARATION.format(**names)
        reduce += _REDUCE.format(**names, before=total, sum=register)
        total = f"%total{lanes}"
    turn = max(TURN // width, 1)
    return _TABLES.format(
        width=width,
        turn=turn,
        streams=STREAMS,
        round=STREAMS * turn,
        declarations=declarations,
        begin=begin,
        keep=keep,
        read=read,
        reduce=reduce,
        total=total,
        end=end,
    )
