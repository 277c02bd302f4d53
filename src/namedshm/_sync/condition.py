r"""A condition that survives kills: those who wait are on a list, and each is woken by an event of its own.

Who waits owns a seat, a mutex with an event, and is on the list of the record NAME before it releases the condition's mutex.  Who
notifies takes the first of the list whose seats are owned, sets their events, and moves them to the list of those who are woken.
Who comes back from a wait takes itself off.  All of that is done by the owner of the record's own mutex, ``NAME|writers``, which
nobody keeps for longer; the list is changed in one step (records).

Whoever is killed:

* Who waits: nobody owns its seat, so it is passed over, and dropped from the list.
* Who was woken and is killed before it is off the list of the woken: nobody owns its seat.  The wake-up goes to the next who waited
  then: by the next who comes to wait or notifies, or by who waits already and looks twice a second.
* Who owns the mutex, before or after it has notified: who waits looks at that twice a second, too.  One of them gets the mutex, is
  told and comes back; the others wait on.
* Who notifies, before the list is changed: those whose events are set come back, take themselves off and tell that they were
  notified; the others wait on.

A set event belongs to one wait: it is set only while its owner is on the list, and cleared before it gets on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from namedshm import errors
from namedshm._arguments import check_on_abandoned, count, seconds
from namedshm.names import Name
from namedshm.records import Record

from .composed import Composed, deadline_after, time_left
from .objects import Acquisition, Event, Mutex
from .seats import MOST, padded, seat_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, Self, TypeVar

    T = TypeVar("T")

__all__ = ["FIELDS", "Condition", "ConditionState", "Notification", "state"]

_NAP = 0.5  # seconds between two looks whether somebody died with a wake-up


class ConditionState(Record):
    """What the record of a condition tells.

    Attributes:
        mutex: the name of its mutex.
        waiting: numbers of seats, who came first at first; 0 for none.
        woken: of those who were notified and are not back.
    """

    mutex: Annotated[str, 266]
    waiting: Annotated[tuple[int, ...], "u4", MOST]
    woken: Annotated[tuple[int, ...], "u4", MOST]


#: By which the record of a condition is known.
FIELDS = {name: field.type for name, field in ConditionState._fields.items()}


class Condition(Composed):
    """Threads of all processes wait for something to change, and are woken, one or all; as :class:`threading.Condition`.

        condition = namedshm.sync.Condition("queue")     # the same line in every process
        with condition:
            condition.wait_for(lambda: view[0])
        with condition:                                   # another process
            view[0] = 1
            condition.notify()

    It has a mutex, which is owned by who calls :meth:`wait`, :meth:`notify` and the like.  Who was killed waits no more: notifying
    passes it over, and a wake-up that had come to it goes to the next who waited then, within half a second.

    Attributes:
        created: whether this call made the condition.
        mutex: its mutex; ``with condition:`` acquires it.
    """

    __module__ = "namedshm.sync"

    __slots__ = ("mutex",)
    _waits = True

    _record: ConditionState
    mutex: Mutex

    def __init__(
        self,
        name: str,
        mutex: Mutex | None = None,
        *,
        exist_ok: bool = True,
        mode: int = 0o600,
        group: str | int | None = None,
        timeout: float | None = 1.0,
    ) -> None:
        r"""Create the condition, or open the living one.

        Args:
            name: as in :func:`namedshm.create`, at most 251 characters.
            mutex: a named one, the same for all who use the condition; None: one of its own, ``NAME|mutex``, or that of the living
                condition.
            exist_ok: False raises AlreadyExists if the name is held.
            mode, group: who else may use a ``Global\`` condition, as for :class:`RWLock`.
            timeout: seconds to wait for a creator who has not finished; None for ever.

        Raises: InvalidArgument: an unnamed mutex, or another than the living one has; else as
            :meth:`namedshm.records.Record.create`.
        """
        if mutex is not None and mutex.name is None:
            raise errors.InvalidArgument("A condition needs a named mutex: others must find it", name=name, call="create")
        own = Mutex(f"{name}|mutex", mode=mode, group=group) if mutex is None else mutex.duplicate()
        try:
            named = Name(own.name or "").canonical
            record = ConditionState.create(name, {"mutex": named}, exist_ok=exist_ok, mode=mode, group=group, timeout=timeout)
        except BaseException:
            own.close()
            raise
        if record.mutex != named:
            there = record.mutex
            own.close()
            if mutex is not None:
                record.close()
                raise errors.InvalidArgument(
                    f"The condition {name!r} has the mutex {there!r}, not {named!r}", name=name, call="create"
                )
            own = _mutex_of(record, mode, group)
        self._hold(record, mode, group)
        self.mutex = own

    @classmethod
    def open(cls, name: str, *, wait: float | None = 0, timeout: float | None = 1.0) -> Self:
        """Open the living condition of that name, with its mutex.

        Args:
            wait: seconds to wait until somebody creates it; None for ever.
            timeout: seconds to wait for a creator who has not finished; None for ever.

        Raises: NotFound; InvalidContent if it is no condition; else as :meth:`namedshm.records.Record.open`.
        """
        condition = cls.__new__(cls)
        record = ConditionState.open(name, wait=wait, timeout=timeout)
        condition._hold(record, None, None)
        condition.mutex = _mutex_of(record, condition._seats.rights(), None)
        return condition

    def close(self) -> None:
        """Close this handle: the name goes with the last one.  Who waits through it gets ClosedHandle.  Twice is a no-op."""
        super().close()
        self.mutex.close()

    # ---------------------------------------------------------------------------------------------------- the mutex
    def acquire(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Acquisition:
        """Acquire its mutex, as :meth:`Mutex.acquire`."""
        return self.mutex.acquire(timeout, on_abandoned=on_abandoned)

    async def acquire_async(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Acquisition:
        """Acquire its mutex, as :meth:`Mutex.acquire_async`."""
        return await self.mutex.acquire_async(timeout, on_abandoned=on_abandoned)

    def release(self) -> None:
        """Release its mutex, as :meth:`Mutex.release`."""
        self.mutex.release()

    def __enter__(self) -> Acquisition:  # type: ignore[override]  # it is held as a lock, not as a handle
        return self.mutex.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.mutex.release()

    async def __aenter__(self) -> Acquisition:
        return await self.mutex.acquire_async()

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.mutex.release()

    # ---------------------------------------------------------------------------------------------------- waiting
    def wait(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Notification:
        """Release the mutex, however often this thread acquired it, wait to be notified, and acquire it as often again.

        Whatever happens, the mutex is this thread's again when this returns or raises; getting it back takes as long as it takes.
        After an exception (Ctrl-C) a wake-up that had come goes to the next.

        Args:
            timeout: seconds to wait to be notified; None for ever.
            on_abandoned: what to do if the mutex was abandoned meanwhile: "tell" through ``.abandoned``, or "raise" AbandonedMutex.

        Returns: true if notified, false if the time was up; its ``abandoned`` tells that the last owner of the mutex died.

        Raises: NotOwned: this thread does not own the mutex; OutOfResources: 256 threads wait; ClosedHandle.
        """
        depth = self.mutex.depth()
        stay = _Stay(self, timeout, on_abandoned)
        failure: BaseException | None = None
        while stay.goes_on(failure):
            try:
                while self.mutex.depth():
                    self.mutex.release()
                while (nap := stay.nap()) is not None:
                    stay.heard = stay.event.wait(nap)
            except BaseException as error:
                failure = error
            failure = self._come_back(stay, depth) or failure
        return stay.outcome(failure)

    def _come_back(self, stay: _Stay, depth: int) -> BaseException | None:
        """Acquire the mutex until this thread has it so often: what a signal handler raised meanwhile.

        How often is asked of the mutex: the exception of a handler may come when an acquisition has succeeded and nobody knows yet.
        """
        failure = None
        while True:
            try:
                while self.mutex.depth() < depth:
                    stay.is_back(self.mutex.acquire())
                return failure
            except errors.NamedShmError:  # the handle was closed: there is nothing to come back to
                stay.end(pass_on=True)
                raise
            except BaseException as error:
                failure = error

    async def wait_async(self, timeout: float | None = None, *, on_abandoned: Literal["tell", "raise"] = "tell") -> Notification:
        """:meth:`wait` for asyncio.  It gives the mutex back once: other tasks of this loop may have acquired it, too."""
        stay = _Stay(self, timeout, on_abandoned)
        failure: BaseException | None = None
        while stay.goes_on(failure):
            try:
                stay.go()
                while (nap := stay.nap()) is not None:
                    stay.heard = await stay.event.wait_async(nap)
            except BaseException as error:
                failure = error
            while stay.away:
                try:
                    if isinstance(failure, GeneratorExit):  # the loop has ended: nobody can wait any more
                        raise failure
                    stay.is_back(await self.mutex.acquire_async())
                    stay.away = False
                except (errors.NamedShmError, GeneratorExit):
                    stay.end(pass_on=True)
                    raise
                except BaseException as error:  # cancelled
                    failure = error
        return stay.outcome(failure)

    def wait_for(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """Wait until ``predicate()``, which is called by the owner of the mutex, is true; its last value, false if the time was up.

        Raises: as :meth:`wait`; AbandonedMutex (this thread owns the mutex): what ``predicate`` looks at may be half changed.
        """
        deadline = deadline_after(seconds(timeout, "wait", self.name))
        while not (found := predicate()):
            left = time_left(deadline)
            if left == 0:
                break
            self.wait(left, on_abandoned="raise")
        return found

    async def wait_for_async(self, predicate: Callable[[], T], timeout: float | None = None) -> T:
        """:meth:`wait_for` for asyncio."""
        deadline = deadline_after(seconds(timeout, "wait", self.name))
        while not (found := predicate()):
            left = time_left(deadline)
            if left == 0:
                break
            await self.wait_async(left, on_abandoned="raise")
        return found

    # ---------------------------------------------------------------------------------------------------- notifying
    def notify(self, n: int = 1) -> None:
        """Wake ``n`` of those who wait, or all if there are fewer; who came first is woken first.

        Raises: NotOwned: this thread does not own the mutex.
        """
        n = count(n, "n", "notify", self.name)
        self._owned("notify")
        with self._record._writing():
            self._wake(n)

    def notify_all(self) -> None:
        """Wake all who wait.  Raises: as :meth:`notify`."""
        self.notify(MOST)

    def _owned(self, call: str) -> None:
        if not self.mutex.depth():
            raise errors.NotOwned(f"This thread does not own the mutex of {self.name!r}: acquire it", name=self.name, call=call)

    # The three below: by the owner of the record's mutex.
    def _wake(self, n: int) -> None:
        """Wake ``n`` of those who wait, and as many as died with a wake-up before they were back."""
        now: Any = self._record.snapshot()
        if not (any(now.waiting) or any(now.woken)):
            return
        waiting, woken = _numbers(now.waiting), _numbers(now.woken)
        living = [number for number in woken if self._sits(number)]
        n += len(woken) - len(living)
        waiters, chosen = iter(waiting), 0
        while chosen < n and (number := next(waiters, 0)):
            if self._sits(number) and self._call(number):
                living.append(number)
                chosen += 1
        rest = list(waiters)
        if (rest, living) != (waiting, woken):
            self._record.update(waiting=padded(rest), woken=padded(living[:MOST]))

    def _settle(self) -> None:
        """Pass on the wake-ups of those who died before they were back."""
        if any(self._record.woken):
            self._wake(0)

    def _sits(self, number: int) -> bool:
        """Whether a thread owns that seat."""
        try:
            mutex = Mutex.open(seat_name(self.name, "w", number))
        except (errors.NotFound, errors.WrongType):  # no seat of ours has a name that another type holds
            return False
        owned = mutex.locked()
        mutex.close()
        return owned

    def _call(self, number: int) -> bool:
        try:
            event = Event.open(seat_name(self.name, "e", number))
        except (errors.NotFound, errors.WrongType):  # it died just now
            return False
        with event:
            event.set()
        return True


class Notification(Acquisition):
    """How a wait for a condition went: true if notified.

    Attributes:
        abandoned: the last owner of the mutex ended without releasing it; the mutex is yours, what it guards may be half changed.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{'notified' if self else 'not notified'}{', abandoned by the last owner' if self.abandoned else ''}>"


class _Stay:
    """One wait: on the list from the beginning to end().

    Attributes:
        away: the mutex is to be acquired again (asyncio, where other tasks of the thread may have it too).
        heard: the event was set.
        event: to sleep on.
    """

    def __init__(self, condition: Condition, timeout: float | None, on_abandoned: str) -> None:
        check_on_abandoned(on_abandoned)
        deadline = deadline_after(seconds(timeout, "wait", condition.name))
        condition._owned("wait")
        self._condition, self._record = condition, condition._record
        self._raises = on_abandoned == "raise"
        self._deadline = deadline
        self._notified = self._abandoned = self.heard = False
        self._napped = self._roused = False
        self.away = False
        self._seat = condition._seats.take()
        assert self._seat.event is not None
        self.event = self._seat.event
        try:
            self.event.clear()
            self._seat.mutex.acquire()
            self._get_on_the_list()
        except BaseException:
            self._give_back()
            raise

    def go(self) -> None:
        """Release the mutex once."""
        self._condition.mutex.release()
        self.away = True

    def _get_on_the_list(self) -> None:
        condition, record = self._condition, self._record
        with record._writing():
            condition._settle()
            waiting = _numbers(record.waiting)
            if len(waiting) == MOST:
                waiting = [number for number in waiting if condition._sits(number)]
            if len(waiting) == MOST:
                raise errors.OutOfResources(
                    f"{MOST} threads wait for {condition.name!r}: no more can", name=condition.name, call="wait"
                )
            record.update(waiting=padded([*waiting, self._seat.number]))

    def goes_on(self, failure: BaseException | None) -> bool:
        """Whether to sleep (again), asked by the owner of the mutex."""
        if failure is not None or self.heard or self._abandoned:
            return False
        if not self._roused:
            return not self._napped
        # An owner of the mutex died, and another one has been told of it.
        self._roused = False
        return time_left(self._deadline) != 0 and self._seat.number in self._record.waiting

    def nap(self) -> float | None:
        """How many seconds to sleep at most; None: see what has happened."""
        if self.heard:
            return None
        if self._napped:
            if any(self._record.woken):
                with self._record._writing():
                    self._condition._settle()
            free, died, _ = self._condition.mutex.look()
            if free and died:
                self._roused = True
                return None
        self._napped = True
        left = time_left(self._deadline)
        return None if left == 0 else _NAP if left is None else min(left, _NAP)

    def is_back(self, acquired: Acquisition) -> None:
        self._abandoned |= acquired.abandoned

    def end(self, *, pass_on: bool) -> None:
        """Get off the list.  ``pass_on``: a wake-up that came goes to the next."""
        number = self._seat.number
        try:
            with self._record._writing():
                now = self._record.snapshot()
                self._notified = number in now.woken or self.heard or self.event.wait(0) or (self._roused and self._abandoned)
                if number in now.woken:
                    self._record.update(woken=padded(k for k in now.woken if k not in (0, number)))
                elif number in now.waiting:
                    self._record.update(waiting=padded(k for k in now.waiting if k not in (0, number)))
                if pass_on and self._notified:
                    self._condition._wake(1)
        except errors.ClosedHandle:  # it is on the list, but nobody's
            self._give_back()
            raise
        self._give_back()

    def _give_back(self) -> None:
        if self._seat.mutex.depth():
            self._seat.mutex.release()
        if self._condition.closed:
            self._seat.close()
        else:
            self._condition._seats.give(self._seat)

    def outcome(self, failure: BaseException | None) -> Notification:
        self.end(pass_on=failure is not None)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure
        if self._abandoned and self._raises:
            raise errors.AbandonedMutex(
                f"The last owner of the mutex of {self._condition.name!r} ended while it held it: check what it guards",
                name=self._condition.name,
                call="wait",
            )
        return Notification(self._notified, self._abandoned)


def _mutex_of(record: ConditionState, mode: int, group: str | int | None) -> Mutex:
    """That of a living condition; made again if all who had it have closed it just now."""
    try:
        return Mutex(record.mutex, mode=mode, group=group)
    except BaseException:
        record.close()
        raise


def _numbers(numbers: tuple[int, ...]) -> list[int]:
    return [number for number in numbers if number]


def state(record: Record) -> dict[str, Any]:
    """Of a condition's record at this moment: how many threads wait."""
    now: Any = record.snapshot()
    waiting = 0
    for number in _numbers(now.waiting):
        try:
            mutex = Mutex.open(seat_name(record.name, "w", number), "wait")
        except errors.NamedShmError:
            continue
        waiting += mutex.locked()
        mutex.close()
    return {"waiting": waiting}
