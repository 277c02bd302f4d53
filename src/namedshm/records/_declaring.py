"""The annotations of a class as the fields of a record."""

from __future__ import annotations

from inspect import get_annotations
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from namedshm._formats.record_slots import CODES

if TYPE_CHECKING:
    from namedshm._formats.record_slots import FieldType

__all__ = ["declared"]

_STANDARD = {bool: "b1", int: "i8", float: "f8"}


def declared(cls: type, root: type) -> list[FieldType]:
    """Those of every annotation of a class and its bases below ``root``, which is Record, in order.  Raises: TypeError."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, root) and base is not root:
            hints |= get_annotations(base, eval_str=True)
    found: list[FieldType] = []
    for name, hint in hints.items():
        if name.startswith("_") or get_origin(hint) is ClassVar:
            continue
        if hasattr(root, name):
            raise TypeError(f"a field cannot be named {name!r}: records have an attribute of that name")
        try:
            found.append((name, *_type_of(hint)))
        except _NoType as error:
            raise TypeError(f"field {name!r} cannot be {hint!r}: {error}") from None
    return found


class _NoType(Exception):
    pass


def _type_of(hint: Any) -> tuple[str, int | None]:
    """(code, count) of an annotation."""
    extras: tuple[object, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *rest = get_args(hint)
        extras = tuple(rest)
    codes = [extra for extra in extras if isinstance(extra, str)]
    lengths = [extra for extra in extras if isinstance(extra, int)]
    if len(codes) > 1 or len(lengths) > 1 or len(codes) + len(lengths) != len(extras):
        raise _NoType("annotate with at most one type code and one length")
    if hint in (str, bytes):
        if codes or not lengths or lengths[0] < 1:
            raise _NoType(f"give its length, for example Annotated[{hint.__name__}, 32]")
        return f"{'U' if hint is str else 'V'}{lengths[0]}", None
    count = None
    if get_origin(hint) is tuple:
        elements = get_args(hint)
        if elements[1:] == (...,):
            if not lengths or lengths[0] < 1:
                raise _NoType("give its length, for example Annotated[tuple[float, ...], 3]")
            count = lengths[0]
        else:
            count = len(elements)
        if lengths not in ([], [count]) or not elements or len(set(elements) - {...}) != 1:
            raise _NoType("its elements are all of one type, bool, int or float, and as many as it says")
        hint = elements[0]
    elif lengths:
        raise _NoType("a single number has no length")
    if hint not in _STANDARD:
        raise _NoType("use bool, int, float, a tuple of them, Annotated[str, LENGTH] or Annotated[bytes, LENGTH]")
    code = codes[0] if codes else _STANDARD[hint]
    if code not in CODES or code[0] not in {bool: "b", int: "iu", float: "f"}[hint]:
        raise _NoType(f"the type code {code!r} is not one of {', '.join(CODES)} that fits {hint.__name__}")
    return code, count
