r"""Records: a few named values, shared by name and always consistent.

    class Camera(Record):
        exposure: float = 0.01
        frame: int = 0
        label: Annotated[str, 32] = "idle"

    camera = Camera.create("camera")           # another process: Camera.open("camera"), or Record.open("camera")
    camera.exposure = 0.02
    camera.update(frame=1, label="running")    # both or none
    seen = camera.snapshot()                   # (exposure=0.02, frame=1, label='running'), of one moment
    camera.wait(newer_than=seen.version)       # sleeps until somebody updates it; the next snapshot

A reader never waits for anybody and sees one version, whole: there are two slots, a writer fills the older one and then makes it
the newest (``_core.write_slots``).  Writers take turns by a mutex, ``NAME|writers``; one that is killed half-way leaves the
version before.  The bytes are a ``.npy`` file of two elements of a structured type whose first field is ``version``: the element
with the higher one counts.  At the end of the first slot is a word by which who waits for a new version says so (``_newer``).
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections import namedtuple
from inspect import get_annotations
from keyword import iskeyword
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from . import _content, _newer, _npy, errors
from . import section as sections
from ._arguments import seconds
from ._core import read_slots, swap64, write_slots
from ._unavailable import unpickling
from .inspection import describe
from .sync import Mutex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from ._backend.contract import Access
    from .section import Section

__all__ = ["Record"]

_ALIGNMENT = 64  # bytes: a slot begins on a cache line of its own
_WORD = 8  # bytes at the end of a slot: whether somebody waits
_LARGEST = 1 << 20  # bytes of a slot; an update writes all of it
_CODES = {"b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q", "f4": "f", "f8": "d"}
_STANDARD = {bool: "b1", int: "i8", float: "f8"}
_Type = tuple[str, str, int | None]  # of a field: name, code, length


# ------------------------------------------------------------------------------------------------------------ fields
class _Field:
    """One field of a record: where it lies in a slot, and how its value becomes bytes.

    Attributes:
        code: as NumPy's, without byte order: ``f8``, ``U32`` (32 characters of 4 bytes), ``V16`` (16 bytes).
        length: elements; None for a plain value.
        type: as NumPy writes it: ``<f8``, ``(3,)<f8``.
        offset, size: in the slot, bytes.
    """

    __slots__ = ("_numbers", "code", "length", "name", "offset", "size", "type")

    def __init__(self, name: str, code: str, length: int | None, offset: int) -> None:
        self.name, self.code, self.length, self.offset = name, code, length, offset
        count = 1 if length is None else length
        self.size = _element_size(code) * count
        self._numbers = struct.Struct(f"<{count}{_CODES[code]}") if code in _CODES else None
        order = "|" if code[0] in "bV" or (self.size == count and code[0] in "iu") else "<"
        self.type = order + code if length is None else f"({length},){order}{code}"

    @property
    def descr(self) -> tuple[object, ...]:
        code = self.type.rpartition(")")[2]
        return (self.name, code) if self.length is None else (self.name, code, (self.length,))

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Field) and (self.name, self.type, self.offset) == (other.name, other.type, other.offset)

    def pack(self, value: Any) -> bytes:
        """Raises: TypeError, ValueError, OverflowError, as saying what does not fit."""
        if self._numbers is None:
            pack = _pack_text if self.code[0] == "U" else _pack_bytes
            return pack(self.name, value, int(self.code[1:]))
        values = (value,) if self.length is None else tuple(value)
        if self.length is not None and len(values) != self.length:
            raise ValueError(f"field {self.name!r} takes {self.length} values, not {len(values)}")
        if self.code == "b1" and any(v not in (False, True) for v in values):
            raise TypeError(f"field {self.name!r} is true or false, not {value!r}")
        try:
            return self._numbers.pack(*values)
        except struct.error as error:
            text = f"field {self.name!r} ({self.code}) does not take {value!r}: {error}"
            raise (OverflowError if all(isinstance(v, int) for v in values) else TypeError)(text) from None

    def unpack(self, data: bytes) -> Any:
        if self._numbers is not None:
            values = self._numbers.unpack(data)
            return values[0] if self.length is None else values
        if self.code[0] == "V":
            return data
        try:
            return data.decode("utf-32-le").rstrip("\0")
        except UnicodeDecodeError as error:
            raise errors.InvalidContent(f"Field {self.name!r} is no text ({error}): its writer is at fault", call="read") from None

    # As a descriptor of a Record: reading is of the newest version, writing makes one.
    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        return self if record is None else self.unpack(record._read(self.offset, self.size))

    def __set__(self, record: Record, value: Any) -> None:
        record.update(**{self.name: value})


def _element_size(code: str) -> int:
    return int(code[1:]) * (4 if code[0] == "U" else 1)


def _pack_text(name: str, value: object, size: int) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"field {name!r} takes a string, not {type(value).__name__}")
    if len(value) > size:
        raise ValueError(f"field {name!r} takes {size} characters, not {len(value)}")
    if value.endswith("\0"):
        raise ValueError(f"field {name!r} cannot end with a NUL character: that is what fills it up")
    return value.encode("utf-32-le").ljust(4 * size, b"\0")


def _pack_bytes(name: str, value: Any, size: int) -> bytes:
    data = bytes(memoryview(value))
    if len(data) != size:
        raise ValueError(f"field {name!r} takes exactly {size} bytes, not {len(data)}")
    return data


def _declared(cls: type) -> list[_Type]:
    """Those of every annotation of a class and its bases below Record, in order."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Record) and base is not Record:
            hints |= get_annotations(base, eval_str=True)
    found: list[_Type] = []
    for name, hint in hints.items():
        if name.startswith("_") or get_origin(hint) is ClassVar:
            continue
        if hasattr(Record, name):
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
    if code not in _CODES or code[0] not in {bool: "b", int: "iu", float: "f"}[hint]:
        raise _NoType(f"the type code {code!r} is not one of {', '.join(_CODES)} that fits {hint.__name__}")
    return code, count


def _laid_out(fields: list[_Type]) -> tuple[_Field, ...]:
    """Where they lie: each at a multiple of its element's size, as a C compiler would; the version is before them."""
    offset = 8
    found = []
    for name, code, count in fields:
        alignment = {"U": 4, "V": 1}.get(code[0]) or _element_size(code)
        offset += -offset % alignment
        field = _Field(name, code, count, offset)
        found.append(field)
        offset += field.size
    return tuple(found)


def _slot_size(fields: tuple[_Field, ...]) -> int:
    end = (fields[-1].offset + fields[-1].size if fields else 8) + _WORD
    return end + -end % _ALIGNMENT


def _descr(fields: tuple[_Field, ...]) -> list[tuple[object, ...]]:
    """The structured type of a slot, gaps as NumPy writes them."""
    found: list[tuple[object, ...]] = [("version", "<u8")]
    at = 8
    for field in fields:
        if field.offset > at:
            found.append(("", f"|V{field.offset - at}"))
        found.append(field.descr)
        at = field.offset + field.size
    if end := _slot_size(fields) - at:
        found.append(("", f"|V{end}"))
    return found


def _fields_of(descr: object) -> tuple[_Field, ...]:
    """The other way round; only what :func:`_descr` writes is taken.  Raises: ValueError."""
    fields: list[_Type] = []
    for item in descr if isinstance(descr, list) else ():
        match item:
            case (str(name), str(code)) if name not in ("", "version"):
                fields.append((name, code[1:], None))
            case (str(name), str(code), (int(count),)) if 0 < count <= _LARGEST:
                fields.append((name, code[1:], count))
    if not all(_is_field(*field) for field in fields) or len({name for name, _, _ in fields}) < len(fields):
        raise ValueError("its fields are not those of a record")
    laid_out = _laid_out(fields)
    if _slot_size(laid_out) > _LARGEST or descr != _descr(laid_out):
        raise ValueError("its type is not that of a record")
    return laid_out


def _is_field(name: str, code: str, count: int | None) -> bool:
    if not name.isidentifier() or iskeyword(name) or name.startswith("_") or hasattr(Record, name):
        return False
    if code in _CODES:
        return True
    return code[:1] in ("U", "V") and code[1:].isdecimal() and len(code) <= 8 and int(code[1:]) > 0 and count is None


def _difference(there: tuple[_Field, ...], here: tuple[_Field, ...]) -> str:
    if missing := {field.name for field in here} - {field.name for field in there}:
        return f"it has no {sorted(missing)[0]!r}"
    if more := {field.name for field in there} - {field.name for field in here}:
        return f"it also has {sorted(more)[0]!r}"
    for one, two in zip(there, here, strict=True):
        if one.name != two.name:
            return "they come in another order"
        if one != two:
            return f"its {one.name!r} is {one.type}, not {two.type}"
    return "none"  # not reached: they differ


# ------------------------------------------------------------------------------------------------------------ the record
class _Draft:
    """The fields of a record as attributes, to be changed; what cannot be written is refused where it is assigned."""

    __slots__ = ("__dict__", "_cls")  # the dictionary has the fields and nothing else

    _cls: type[Record]

    def __init__(self, cls: type[Record], values: dict[str, Any]) -> None:
        object.__setattr__(self, "_cls", cls)
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        raise _no_field(self._cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self):
            raise _no_field(self._cls, name)
        self._cls._fields[name].pack(value)
        vars(self)[name] = value

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a field of a record cannot be deleted: {name!r}")

    def __repr__(self) -> str:
        return f"<draft of {self._cls.__name__}: {', '.join(f'{name}={value!r}' for name, value in vars(self).items())}>"


def _no_field(cls: type[Record], name: str) -> AttributeError:
    return AttributeError(f"{cls.__name__} has no field {name!r}; it has {', '.join(cls._fields)}")


class Record:
    """A handle to a shared record; subclasses declare the fields by annotations.

    ``bool``, ``int`` (64 bits, signed) and ``float`` (64 bits); ``Annotated[int, "u2"]`` and the like for other widths;
    ``tuple[float, float, float]`` or ``Annotated[tuple[int, ...], "u1", 16]``; ``Annotated[str, 32]`` (at most 32 characters) and
    ``Annotated[bytes, 16]`` (exactly 16 bytes).  A value in the class body is the field's first value, zero otherwise.

    Reading an attribute reads the newest version; assigning one makes a new version.  Several threads may use one handle.
    """

    _fields: ClassVar[dict[str, _Field]] = {}
    _first: ClassVar[dict[str, Any]] = {}  # values of the class bodies
    _found: ClassVar[bool] = False  # the class was made by Record.open, from what it found
    _slot: ClassVar[int] = 0  # bytes of a slot
    _values: ClassVar[Callable[..., Any]]

    _view: _content.HeldView
    _base: int
    _mutex: Mutex | None

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls._declare(_laid_out(_declared(cls)))

    @classmethod
    def _declare(cls, fields: tuple[_Field, ...]) -> None:
        cls._slot = _slot_size(fields)
        if cls._slot > _LARGEST:
            raise TypeError(f"a record has at most {_LARGEST} bytes, {cls.__name__} would have {cls._slot}: use an array")
        cls._fields = {field.name: field for field in fields}
        cls._first = dict(cls._first)
        for field in fields:
            value = cls.__dict__.get(field.name)
            if value is not None and not isinstance(value, _Field):
                field.pack(value)  # a wrong one is the declaration's error
                cls._first[field.name] = value
            setattr(cls, field.name, field)
        # Not a field, so the tuple is what it was; no field can have that name.
        cls._values = type(cls.__name__, (namedtuple(cls.__name__, list(cls._fields)),), {"version": 0})

    def __init__(self) -> None:
        raise TypeError(f"use {type(self).__name__}.create(name) or {type(self).__name__}.open(name)")

    # ---------------------------------------------------------------------------------------------------- create and open
    @classmethod
    def create(
        cls,
        name: str,
        initial: Mapping[str, Any] | None = None,
        *,
        exist_ok: bool = False,
        mode: int = 0o600,
        group: str | int | None = None,
        timeout: float | None = 1.0,
    ) -> Self:
        r"""Create the record; its values are the declared ones, and then those of ``initial``.

        Args:
            name: as in :func:`namedshm.create`, at most 251 characters.
            initial: first values by field name.
            exist_ok: open a living record of that name and these fields instead; its values stay as they are.
            mode, group: who else may use it, as in :func:`namedshm.create`.  Whoever may write needs both bits, as for a mutex.
            timeout: seconds to wait, with ``exist_ok``, for a creator who has not finished; None for ever.

        Raises: AlreadyExists; TypeError, ValueError, OverflowError for values that do not fit; with ``exist_ok`` as :meth:`open`;
            else as :func:`namedshm.create`.
        """
        if cls is Record:
            raise TypeError("declare a subclass of Record with fields, and create that")
        timeout = seconds(timeout, "create", name)
        fields = tuple(cls._fields.values())
        first = cls._packed({**cls._first, **(initial or {})})
        header = _npy.encode(_descr(fields), (2,), False)
        section = sections.create(name, len(header) + 2 * cls._slot, exist_ok=exist_ok, mode=mode, group=group)
        with _closing_on_error(section):
            if not section.created:
                return cls._over(section, timeout)
            record = cls._new(_content.hold(section), len(header), _writers(name, mode, group))
            record._view[8 : len(header)] = header[8:]
            write_slots(record._view, len(header), cls._slot, record._joined(first, bytes(cls._slot - 8 - _WORD)))
            _content.publish(record._view, header[:8])
            return record

    @classmethod
    def open(cls, name: str, access: Access = "write", *, wait: float | None = 0, timeout: float | None = 1.0) -> Self:
        """Open the living record of that name.  ``Record.open`` takes any record and finds its fields there.

        Args:
            access: ``"read"`` for a handle that cannot write.
            wait: seconds to wait until somebody creates it; None for ever.
            timeout: seconds to wait for a creator who has not finished; None for ever.

        Raises: NotFound; InvalidContent if it is no record, or its fields are not those of this class; NotReady; else as
            :func:`namedshm.open`.
        """
        timeout = seconds(timeout, "open", name)
        section = sections.open(name, access, wait=wait)
        with _closing_on_error(section):
            return cls._over(section, timeout)

    @classmethod
    def _over(cls, section: Section, timeout: float | None) -> Self:
        view = _content.hold(section)
        name = section.name
        try:
            first = _content.published(view, name, timeout)
            start, text = _npy.text(view, first)
            found = _class_of(first, text)
            base = start + len(text)
            if base % 8 or len(view) < base + 2 * found._slot:
                raise ValueError(f"the section has {len(view)} bytes")
        except errors.NamedShmError:
            raise
        except _npy.REFUSALS as error:
            raise errors.InvalidContent(f"The bytes of {name!r} are no record: {error}", name=name, call="open") from None
        if cls is Record:
            cls = found  # type: ignore[assignment]  # a Record it is
        elif found._fields != cls._fields or list(found._fields) != list(cls._fields):
            raise errors.InvalidContent(
                f"The record {name!r} has other fields than {cls.__name__}: "
                f"{_difference(tuple(found._fields.values()), tuple(cls._fields.values()))}",
                name=name,
                call="open",
            )
        return cls._new(view, base, _existing_writers(section) if section.access == "write" else None)

    @classmethod
    def _new(cls, view: _content.HeldView, base: int, mutex: Mutex | None) -> Self:
        record = cls.__new__(cls)
        record._view, record._base, record._mutex = view, base, mutex
        return record

    # ---------------------------------------------------------------------------------------------------- reading
    @property
    def version(self) -> int:
        """How many updates there were, the first values being 1; it never goes back."""
        return self._newest(8, 0)[0]

    def snapshot(self) -> Any:
        """All fields, of one version: a named tuple; its attribute ``version`` (not an element of it) is that version's number."""
        version, data = self._newest(8, self._slot - 8 - _WORD)
        values = self._values(
            *(field.unpack(data[field.offset - 8 : field.offset - 8 + field.size]) for field in self._fields.values())
        )
        values.version = version
        return values

    def wait(self, newer_than: int | None = None, timeout: float | None = None) -> Any:
        """Sleep until there is a newer version; its snapshot.  What was written before the call counts: nothing is missed.

            seen = camera.snapshot()
            while True:
                seen = camera.wait(newer_than=seen.version)

        A version that came and was replaced meanwhile is not seen, only the newest one is.  Where this process may not tell writers
        that it waits (a ``Global\\`` record of another user that it only reads), it looks every 5 ms instead.

        Args:
            newer_than: a version, as ``snapshot().version`` gives it; None means the newest one at the time of the call.
            timeout: seconds; None waits for ever, 0 only looks.

        Returns: as :meth:`snapshot`, or None when the time is up.

        Raises: ClosedHandle (also if it is closed meanwhile, within half a second); TypeError, InvalidArgument.
        """
        wanted = _newer.Wanted(self, newer_than, timeout)
        wanted.wait()
        return wanted.found()

    async def wait_async(self, newer_than: int | None = None, timeout: float | None = None) -> Any:
        """:meth:`wait` for asyncio."""
        wanted = _newer.Wanted(self, newer_than, timeout)
        await wanted.wait_async()
        return wanted.found()

    def _read(self, start: int, length: int) -> bytes:
        return self._newest(start, length)[1]

    def _newest(self, start: int, length: int) -> tuple[int, bytes]:
        while True:
            found = read_slots(self._view, self._base, self._slot, start, length)
            if found is None:
                continue  # between two rounds of tries signal handlers run
            if not found[0]:
                raise errors.InvalidContent(f"The record {self.name!r} is damaged: it has no version", name=self.name, call="read")
            return found

    # ---------------------------------------------------------------------------------------------------- writing
    def update(self, **values: Any) -> int:
        """Change some fields, all in one step: readers see none of the changes or all.

        Returns: the new version.

        Raises: AccessDenied if the handle is for reading; ClosedHandle; TypeError for an unknown field; TypeError, ValueError,
            OverflowError for a value that does not fit, and then nothing has changed.
        """
        packed = self._packed(values)
        with self._writing():
            return self._write(packed)

    @contextlib.contextmanager
    def edit(self) -> Iterator[Any]:
        """Change fields depending on what they are, with all other writers kept out.

            with camera.edit() as draft:
                draft.frame += 1

        The draft has the values of the newest version; what it has in the end becomes the next one.  After an exception nothing has
        changed.  Raises: as :meth:`update`;
            what does not fit, and an unknown field (AttributeError), where it is assigned.
        """
        with self._writing():
            before = self.snapshot()._asdict()
            draft = _Draft(type(self), before)
            yield draft
            first = self._packed(before)
            # Only what was changed: an update of this thread within the block counts too.
            self._write({name: data for name, data in self._packed(vars(draft)).items() if data != first[name]})

    def _writing(self) -> Mutex:
        if self._view.closed:
            raise errors.ClosedHandle(f"This handle to the record {self.name!r} is closed: open it again", name=self.name)
        if self._mutex is None:
            raise errors.AccessDenied(
                f"This handle to the record {self.name!r} is for reading: open it with access 'write'",
                name=self.name,
                call="update",
            )
        return self._mutex

    def _write(self, packed: dict[str, bytes]) -> int:
        before = self._read(8, self._slot - 8 - _WORD)
        version = write_slots(self._view, self._base, self._slot, self._joined(packed, before))
        if swap64(self._view, self._word, 0):
            _newer.tell(self.name, version)
        return version

    @property
    def _word(self) -> int:
        """Where who waits says so: not 0.  A byte of the section."""
        return self._base + self._slot - _WORD

    @classmethod
    def _packed(cls, values: Mapping[str, Any]) -> dict[str, bytes]:
        if unknown := values.keys() - cls._fields.keys():
            raise TypeError(f"{cls.__name__} has no field {sorted(unknown)[0]!r}; it has {', '.join(cls._fields)}")
        return {name: cls._fields[name].pack(value) for name, value in values.items()}

    def _joined(self, packed: Mapping[str, bytes], before: bytes) -> bytearray:
        data = bytearray(before)
        for name, value in packed.items():
            start = self._fields[name].offset - 8
            data[start : start + len(value)] = value
        return data

    # ---------------------------------------------------------------------------------------------------- the handle
    @property
    def name(self) -> str:
        name = self._view.section.name
        assert name is not None
        return name

    @property
    def section(self) -> Section:
        """The handle that keeps the name."""
        return self._view.section

    @property
    def fields(self) -> dict[str, str]:
        """Type of each field as NumPy writes it: ``{'exposure': '<f8', 'label': '<U32'}``."""
        return {name: field.type for name, field in self._fields.items()}

    def close(self) -> None:
        """Close the handle: the name goes with the last one.  Twice is a no-op."""
        self._view.close()
        self._view.section.close()
        if self._mutex is not None:
            self._mutex.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Record], tuple[object, ...]]:
        return _restore, (Record if self._found else type(self), *self.section.__reduce__()[1])

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and not hasattr(type(self), name):
            raise _no_field(type(self), name)
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        if self._view.closed:
            return f"<namedshm.Record {self.name!r}, closed>"
        return f"<namedshm.Record {self.name!r}, version {self.version}: {self.snapshot()!r}>"


@functools.lru_cache(32)  # a record is opened again and again, and making a class takes a hundred times as long as opening
def _class_of(first: bytes, text: bytes) -> type[Record]:
    """The class of the record that a header describes.  Raises: ``_npy.REFUSALS``."""
    descr, shape, fortran = _npy.parse(first, text)
    if fortran or shape != (2,):
        raise ValueError("it does not have two versions")
    cls: type[Record] = type("Record", (Record,), {"_found": True})
    cls._declare(_fields_of(descr))
    return cls


@unpickling()
def _restore(cls: type[Record], name: str, identity: int, access: Access) -> Record:
    section = sections.reopened(name, identity, access)
    with _closing_on_error(section):
        return cls._over(section, 0)


# ------------------------------------------------------------------------------------------------------------ the writers' mutex
def _writers(name: str, mode: int, group: str | int | None) -> Mutex:
    return Mutex(f"{name}|writers", mode=mode, group=group)


def _existing_writers(section: Section) -> Mutex:
    """That of a living record; made again, for the same people, when all its writers have gone and readers kept the record."""
    assert section.name is not None
    try:
        return Mutex.open(f"{section.name}|writers")
    except errors.NotFound:
        return _writers(section.name, describe(section.name).mode or 0o600, None)


@contextlib.contextmanager
def _closing_on_error(section: Section) -> Iterator[None]:
    try:
        yield
    except BaseException:
        section.close()
        raise
