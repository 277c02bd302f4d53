r"""Records: a few named values, shared by name and always consistent.

    class Camera(Record):
        exposure: float = 0.01
        frame: int = 0
        label: Annotated[str, 32] = "idle"

    camera = Camera.create("camera")           # another process: Camera.open("camera"), or records.open("camera")
    camera.exposure = 0.02
    camera.update(frame=1, label="running")    # both or none
    camera.snapshot()                          # (exposure=0.02, frame=1, label='running'), of one moment

A reader never waits for anybody and sees one version, whole: there are two slots, a writer fills the older one and then makes it
the newest (``_core.write_slots``).  Writers take turns by a mutex, ``NAME|writers``; one that is killed half-way leaves the
version before.  The bytes are a ``.npy`` file of two elements of a structured type whose first field is ``version``: the element
with the higher one counts.
"""

from __future__ import annotations

import contextlib
import functools
from collections import namedtuple
from typing import TYPE_CHECKING, Any, ClassVar

from namedshm import errors
from namedshm import section as sections
from namedshm._arguments import seconds
from namedshm._core import read_slots, write_slots
from namedshm._formats import npy
from namedshm._formats.publication import SIZE, publish
from namedshm._formats.record_slots import LARGEST, Field, described, difference, fields_of, laid_out, slot_size
from namedshm._held import HeldView, hold, published
from namedshm._holder import Holder
from namedshm._pickling.unavailable import unpickling
from namedshm.inspection import describe
from namedshm.sync import Mutex

from ._declaring import declared
from ._draft import Draft, no_field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from namedshm._backend.contract import Access
    from namedshm.section import Section

__all__ = ["AnyRecord", "Record", "open"]


class _Attribute(Field):
    """A field as an attribute of its record: reading it reads the newest version, assigning to it makes one."""

    __slots__ = ()

    def __get__(self, record: Record | None, owner: type[Record]) -> Any:
        return self if record is None else self.unpack(record._read(self.offset, self.size))

    def __set__(self, record: Record, value: Any) -> None:
        record.update(**{self.name: value})


class Record(Holder):
    """A handle to a shared record; subclasses declare the fields by annotations.

    ``bool``, ``int`` (64 bits, signed) and ``float`` (64 bits); ``Annotated[int, "u2"]`` and the like for other widths;
    ``tuple[float, float, float]`` or ``Annotated[tuple[int, ...], "u1", 16]``; ``Annotated[str, 32]`` (at most 32 characters) and
    ``Annotated[bytes, 16]`` (exactly 16 bytes).  A value in the class body is the field's first value, zero otherwise.

    Reading an attribute reads the newest version; assigning one makes a new version.  Several threads may use one handle.
    """

    _fields: ClassVar[dict[str, _Attribute]] = {}
    _first: ClassVar[dict[str, Any]] = {}  # values of the class bodies
    _found: ClassVar[bool] = False  # the class was made by Record.open, from what it found
    _slot: ClassVar[int] = 0  # bytes of a slot
    _values: ClassVar[Callable[..., Any]]

    _view: HeldView
    _base: int
    _mutex: Mutex | None

    def __init_subclass__(cls, **rest: Any) -> None:
        super().__init_subclass__(**rest)
        cls._declare(laid_out(declared(cls, Record), _Attribute))

    @classmethod
    def _declare(cls, fields: tuple[_Attribute, ...]) -> None:
        cls._slot = slot_size(fields)
        if cls._slot > LARGEST:
            raise TypeError(f"a record has at most {LARGEST} bytes, {cls.__name__} would have {cls._slot}: use an array")
        cls._fields = {field.name: field for field in fields}
        cls._first = dict(cls._first)
        for field in fields:
            value = cls.__dict__.get(field.name)
            if value is not None and not isinstance(value, Field):
                field.pack(value)  # a wrong one is the declaration's error
                cls._first[field.name] = value
            setattr(cls, field.name, field)
        cls._values = namedtuple(cls.__name__, list(cls._fields))  # type: ignore[misc]

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
        if cls in (Record, AnyRecord):
            raise TypeError("declare a subclass of Record with fields, and create that")
        timeout = seconds(timeout, "create", name)
        fields = tuple(cls._fields.values())
        first = cls._packed({**cls._first, **(initial or {})})
        header = npy.encode(described(fields), (2,), False)
        section = sections.create(name, len(header) + 2 * cls._slot, exist_ok=exist_ok, mode=mode, group=group)
        with _closing_on_error(section):
            if not section.created:
                return cls._over(section, timeout)
            record = cls._new(hold(section), len(header), _writers(name, mode, group))
            record._view[SIZE : len(header)] = header[SIZE:]
            write_slots(record._view, len(header), cls._slot, record._joined(first, bytes(cls._slot - 8)))
            publish(record._view, header[:SIZE])
            return record

    @classmethod
    def open(cls, name: str, access: Access = "write", *, wait: float | None = 0, timeout: float | None = 1.0) -> Self:
        """Open the living record of that name.  ``Record.open`` takes any record and finds its fields there, as
        :func:`namedshm.records.open` does, which says so to type checkers.

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
        view = hold(section)
        name = section.name
        try:
            first = published(view, timeout)
            start, text = npy.text(view, first)
            found = _class_of(first, text)
            base = start + len(text)
            if base % 8 or len(view) < base + 2 * found._slot:
                raise ValueError(f"the section has {len(view)} bytes")
        except errors.NamedShmError:
            raise
        except npy.REFUSALS as error:
            raise errors.InvalidContent(f"The bytes of {name!r} are no record: {error}", name=name, call="open") from None
        if cls in (Record, AnyRecord):
            cls = found  # type: ignore[assignment]  # a Record it is
        elif found._fields != cls._fields or list(found._fields) != list(cls._fields):
            raise errors.InvalidContent(
                f"The record {name!r} has other fields than {cls.__name__}: "
                f"{difference(tuple(found._fields.values()), tuple(cls._fields.values()))}",
                name=name,
                call="open",
            )
        return cls._new(view, base, _existing_writers(section) if section.access == "write" else None)

    @classmethod
    def _new(cls, view: HeldView, base: int, mutex: Mutex | None) -> Self:
        record = cls.__new__(cls)
        record._view, record._base, record._mutex = view, base, mutex
        return record

    # ---------------------------------------------------------------------------------------------------- reading
    @property
    def version(self) -> int:
        """How many updates there were, the first values being 1; it never goes back."""
        return self._newest(8, 0)[0]

    def snapshot(self) -> Self:
        """All fields, of one version: a named tuple, for reading.

        Python's types have no word for a tuple of another class's attributes; so to a type checker this is one of the class, and
        the fields have their types.  Who needs the tuple's own methods says ``values: Any = camera.snapshot()``.
        """
        values: Self = self._unpacked()
        return values

    def _unpacked(self) -> Any:
        data = self._read(8, self._slot - 8)
        return self._values(
            *(field.unpack(data[field.offset - 8 : field.offset - 8 + field.size]) for field in self._fields.values())
        )

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
    def edit(self) -> Iterator[Self]:
        """Change fields depending on what they are, with all other writers kept out.

            with camera.edit() as draft:
                draft.frame += 1

        The draft has the values of the newest version; what it has in the end becomes the next one.  After an exception nothing has
        changed.  To a type checker it is one of the class, as a snapshot is: it has the fields.

        Raises: as :meth:`update`; what does not fit, and an unknown field (AttributeError), where it is assigned.
        """
        with self._writing():
            before = self._unpacked()._asdict()
            draft: Any = Draft(type(self), before)
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
        return write_slots(self._view, self._base, self._slot, self._joined(packed, self._read(8, self._slot - 8)))

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
        """The name as given."""
        name = self._view.section.name
        assert name is not None
        return name

    @property
    def section(self) -> Section:
        """The handle that keeps the name."""
        return self._view.section

    @property
    def _handle(self) -> Section:
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

    def __reduce__(self) -> tuple[Callable[..., Record], tuple[object, ...]]:
        return _restore, (Record if self._found else type(self), *self.section.__reduce__()[1])

    if not TYPE_CHECKING:  # a checker knows the fields

        def __setattr__(self, name, value):
            if not name.startswith("_") and not hasattr(type(self), name):
                raise no_field(type(self), name)
            object.__setattr__(self, name, value)

    def _title(self) -> str:
        return "Record"

    def _facts(self) -> str:
        return "" if self._view.closed else f", version {self.version}: {self.snapshot()!r}"


class AnyRecord(Record):
    """A record whose fields were found when it was opened.  To a type checker each of them may be anything."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...


def open(name: str, access: Access = "write", *, wait: float | None = 0, timeout: float | None = 1.0) -> AnyRecord:
    """Open the living record of that name, whatever its fields are.

    Args, Raises: as :meth:`Record.open`.
    """
    return AnyRecord.open(name, access, wait=wait, timeout=timeout)


@functools.lru_cache(32)  # a record is opened again and again, and making a class takes a hundred times as long as opening
def _class_of(first: bytes, text: bytes) -> type[Record]:
    """The class of the record that a header describes.  Raises: ``npy.REFUSALS``."""
    descr, shape, fortran = npy.parse(first, text)
    if fortran or shape != (2,):
        raise ValueError("it does not have two versions")
    cls: type[Record] = type("Record", (AnyRecord,), {"_found": True})
    cls._declare(fields_of(descr, _Attribute, lambda name: hasattr(Record, name)))
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
