"""Archives of arrays, .npz: written the same every time, and read without trust."""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from pmdlib.arithmetic import Array
from pmdlib.errors import InvalidGameError

#: What reading a damaged archive raises, from the zip file down to the header of an array.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    tokenize.TokenError,
    EOFError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def write_archive(arrays: Mapping[str, Array]) -> bytes:
    """Return the bytes of an archive; NumPy dates its members 1980, so they depend on nothing."""
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def read_archive(path: Path) -> dict[str, Array]:
    """Return the arrays of an archive by name.

    Raises
    ------
    InvalidGameError
        If it is no archive, is damaged, holds Python objects, or claims more than it holds.
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except _DAMAGE as error:
            raise InvalidGameError(f"this is no .npz archive: {error}") from error
        with archive:
            return {
                info.filename.removesuffix(".npy"): _member(archive, info)
                for info in archive.infolist()
            }


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    """Read one array, after its header: never more than the archive holds."""
    try:
        with archive.open(info) as stream:
            _check_header(stream, info)
        with archive.open(info) as stream:
            return np.asarray(npy.read_array(stream, allow_pickle=False))
    except InvalidGameError:
        raise
    except (*_DAMAGE, OSError) as error:
        raise InvalidGameError(f"{info.filename} cannot be read: {error}") from error


def _check_header(stream: IO[bytes], info: zipfile.ZipInfo) -> None:
    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise InvalidGameError(f"{info.filename} has version {version} of the format of arrays")
    shape, _, dtype = readers[version](stream)
    if dtype.hasobject:
        raise InvalidGameError(
            f"{info.filename} holds Python objects (a pickle), must hold numbers, or text such as "
            "1/3"
        )
    held, claimed = info.file_size - stream.tell(), prod(shape) * dtype.itemsize
    if held != claimed or min(shape, default=0) < 0:
        raise InvalidGameError(
            f"{info.filename} claims shape {shape}, {claimed} bytes, but holds {held}"
        )
