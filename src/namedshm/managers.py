"""``multiprocessing.managers.SharedMemoryManager`` for blocks of :mod:`namedshm.shared_memory`.

    from namedshm.managers import SharedMemoryManager   # instead of: from multiprocessing.managers import SharedMemoryManager
    with SharedMemoryManager() as manager:
        block = manager.SharedMemory(size=1024)

The manager is a process that holds the *names* of the blocks made through it: they live until it is shut down, whoever closes
meanwhile, or until somebody unlinks them.  Shut down, it unlinks what is left; the memory belongs to those who have it mapped, as
ever.  It ends with the process that started it, also if that is killed (the standard library's goes on for ever then); the names go
with it, unless somebody has the blocks open.
"""

from __future__ import annotations

import gc
import os
import threading
from multiprocessing import ProcessError, managers, process
from typing import TYPE_CHECKING, Any

from ._backend import backend
from ._drop_in import blocks, lists
from ._drop_in.kept import Kept
from .section import open as _open

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from typing import TypeVar

    _T = TypeVar("_T", bound="str | bytes | float | bool | None")

__all__ = ["SharedMemoryManager"]

_managers: Any = managers  # State and dispatch are not in the type stubs


class _NameKeeper(managers.Server):
    """The server: a table of handles.  Each request runs in a thread of its own; one operation of a dict is atomic."""

    public = [*managers.Server.public, "track_segment", "release_segment", "list_segments"]  # noqa: RUF012

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._held = Kept()

    def track_segment(self, connection: object, segment_name: str) -> None:
        """Hold a name that the caller holds now; it lets go when this has returned."""
        self._held.close_unlinked()
        self._held.keep(segment_name, _open(blocks.bare(segment_name)))

    def release_segment(self, connection: object, segment_name: str) -> None:
        if not self._unlink(segment_name):
            raise ValueError(f"This manager does not hold {segment_name!r}")

    def _unlink(self, segment_name: Hashable) -> bool:
        section = self._held.take(segment_name)
        if section is None:
            return False
        with section:
            if backend.names_can_go:
                section.retire()
        return True

    def list_segments(self, connection: object) -> list[str]:
        self._held.close_all_unlinked()
        return [str(name) for name in self._held.all()]

    def shutdown(self, connection: Any) -> None:
        """Let all names go before the caller hears that it is done, then end."""
        for name in self._held.all():
            self._unlink(name)
        super().shutdown(connection)


class SharedMemoryManager(managers.BaseManager):
    """Makes blocks and lists whose names live until :meth:`shutdown`; as the standard library's.

    Blocks it returns do not hold their name themselves, the manager does: their ``close()`` does not end it.
    """

    _Server = _NameKeeper

    if TYPE_CHECKING:  # of BaseManager; the type stubs leave out what subclasses need
        _registry: Any
        _address: Any
        _authkey: Any
        _serializer: Any
        _state: Any
        _Client: Any

    def get_server(self) -> Any:
        """A server to run in this process by ``serve_forever()``; clients connect by its address.

        Raises: multiprocessing.ProcessError if the manager was started.
        """
        if self._state.value != _managers.State.INITIAL:
            raise ProcessError("This SharedMemoryManager was started before: make another one")
        return self._Server(self._registry, self._address, self._authkey, self._serializer)

    @classmethod
    def _run_server(cls, *args: Any, **kwargs: Any) -> None:
        _forget_what_fork_gave()
        threading.Thread(target=_end_with_parent, daemon=True).start()
        super()._run_server(*args, **kwargs)  # type: ignore[misc]  # as above

    def SharedMemory(self, size: int, *, name: str | None = None) -> blocks.SharedMemory:
        """A new block.

        Args:
            size: bytes.
            name: by which any process opens it; None makes up one.  (The standard library's manager has no names.)

        Raises: ValueError if the manager was not started or connected, or is shut down; what SharedMemory raises.
        """
        self._check_running()
        block = blocks.SharedMemory(name, create=True, size=size)
        self._hand_over(block)
        return block

    def ShareableList(self, sequence: Iterable[_T], *, name: str | None = None) -> lists.ShareableList[_T]:
        """A new list with these items; ``name`` as in :meth:`SharedMemory`.  Raises as that and the class ShareableList."""
        self._check_running()
        made = lists.ShareableList(sequence, name=name)
        self._hand_over(made.shm)
        return made

    def _check_running(self) -> None:
        if self._state.value != _managers.State.STARTED:
            raise ValueError("This SharedMemoryManager is not running: call start() or connect(), or use it in a with statement")

    def _hand_over(self, block: blocks.SharedMemory) -> None:
        try:
            with self._Client(self._address, authkey=self._authkey) as connection:
                _managers.dispatch(connection, None, "track_segment", (block.name,))
        except BaseException:
            blocks.let_go(block)
            block.close()
            raise
        blocks.let_go(block)  # only now: until the server held it, this was the only handle


def _forget_what_fork_gave() -> None:
    """A forked child has a copy of every handle of its parent: no block's name would go as long as the server lives."""
    for thing in gc.get_objects():
        if issubclass(type(thing), blocks.SharedMemory):  # isinstance() would run code of proxies
            blocks.let_go(thing)


def _end_with_parent() -> None:
    parent = process.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
