"""Where the elements of a shared array lie and what they are: a ``.npy`` header (``npy.py``) with NumPy's eyes.

A header comes from anybody who can write to the section: what it says is compared with the size of the section before anything is
made of it, and no type is made that could hold Python objects.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.format import descr_to_dtype

from . import npy

if TYPE_CHECKING:
    from .npy import Content

__all__ = ["Layout", "announced", "decode", "layout"]

_TYPE = re.compile(r"[<>|=]?(?:\?|[biufcSUV][0-9]{0,18}|[mM]8?(?:\[[0-9]{0,18}[A-Za-z]{1,7}\])?)")


class Layout(NamedTuple):
    """Where the elements of an array are in a section, and what they are."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int  # bytes from the start of the section
    size: int  # bytes of all elements


def layout(dtype: np.dtype[Any], shape: tuple[int, ...], order: str) -> tuple[Layout, bytes]:
    """The layout of a new array, and the header that says it.

    Args:
        order: ``"C"`` or ``"F"``.

    Returns: the layout, whose dtype is the one that readers of the header will get; the header, a multiple of 64 bytes.

    Raises: ValueError, TypeError: the format cannot say this dtype; the text tells why.
    """
    if dtype.hasobject:
        raise TypeError("its elements are Python objects, which exist in one process only")
    npy.check_shape(shape)
    descr = dtype.descr if dtype.names is not None else dtype.str
    if _dtype(descr) != dtype:
        raise TypeError("the .npy format cannot describe it")
    dtype = _dtype(descr)  # without what the format does not keep: metadata, and the mark of an aligned structure
    fortran = order == "F" and 0 not in shape and sum(length != 1 for length in shape) > 1  # otherwise both are the same
    header = npy.encode(descr, shape, fortran)
    return Layout(dtype, shape, fortran, len(header), math.prod(shape) * dtype.itemsize), header


def decode(view: Content, first: bytes) -> Layout:
    """What the header of a section or a message says, if all of it is true.

    Args:
        view: all of it.
        first: its first eight bytes, as they were published.

    Raises: ValueError; the text says what is not true.
    """
    try:
        found = _parse(first, *npy.text(view, first))
        if found.offset + found.size > len(view):
            raise ValueError(
                f"{found.size} bytes of elements from byte {found.offset} on were announced, and there are {len(view)} bytes"
            )
    except npy.REFUSALS as error:
        raise ValueError(str(error)) from None
    if found.dtype.names is None:
        return found
    return found._replace(dtype=found.dtype.newbyteorder("|"))  # a copy: field names can be changed in place, and these are cached


def announced(header: bytes) -> Layout:
    """The layout that a header without elements says.  Raises ValueError."""
    try:
        start, data = npy.text(header, header[:8])
        found = _parse(header[:8], start, data)
        if found.offset != len(header):
            raise ValueError(f"its header has {found.offset} bytes of {len(header)}")
        np.broadcast_to(np.empty((), found.dtype), found.shape)  # more dimensions, or longer ones, than NumPy has
    except npy.REFUSALS as error:
        raise ValueError(str(error)) from None
    return found if found.dtype.names is None else found._replace(dtype=found.dtype.newbyteorder("|"))


@functools.lru_cache(64)  # reading a structured dtype takes longer than all the rest of opening
def _parse(first: bytes, start: int, data: bytes) -> Layout:
    descr, shape, fortran = npy.parse(first, data)
    dtype = _dtype(descr)
    return Layout(dtype, shape, fortran, start + len(data), math.prod(shape) * dtype.itemsize)


def _dtype(descr: Any) -> np.dtype[Any]:
    _check_type(descr)
    dtype: np.dtype[Any] = descr_to_dtype(descr)
    if dtype.hasobject or dtype.subdtype is not None:
        raise ValueError(f"{dtype} is no type for the elements of a shared array")
    return dtype


def _check_type(descr: object) -> None:
    """Raise ValueError unless it is a type's name, (type, shape), or a list of fields (name, type) or (name, type, shape)."""
    if isinstance(descr, str):
        if "O" in descr:
            raise ValueError("its elements are Python objects, which exist in one process only")
        if not _TYPE.fullmatch(descr):
            raise ValueError(f"{npy.short(descr)} names no type")
    elif isinstance(descr, tuple) and len(descr) == 2:
        _check_type(descr[0])
        npy.check_shape(descr[1])
    elif isinstance(descr, list):
        for field in descr:
            if not isinstance(field, tuple) or len(field) not in (2, 3):
                raise ValueError(f"{npy.short(field)} describes no field")
            title_and_name = field[0] if isinstance(field[0], tuple) else ("", field[0])
            if len(title_and_name) != 2 or not all(isinstance(part, str) for part in title_and_name):
                raise ValueError(f"{npy.short(field[0])} names no field")
            _check_type(field[1])
            if len(field) == 3:
                npy.check_shape(field[2])
    else:
        raise ValueError(f"{npy.short(descr)} describes no type")
