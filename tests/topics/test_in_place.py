"""Values written and read where they lie: a view that was overtaken says so, a pin is not, and no pin or frame is lost."""

from __future__ import annotations

import gc
import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from helpers.turns import until

import namedshm
from namedshm.topic import Empty, Full, Overrun, Topic

Make = Callable[..., Topic]
Reader = Callable[..., Topic]

LONG = 5000


def flood(t: Topic, times: int = 60) -> None:
    """So many values that all frames have had another one."""
    for _ in range(times):
        t.publish(b"\xff" * LONG)


def dropped(make: Callable[..., object], *arguments: object) -> None:
    """Make something, and let nothing refer to it."""
    make(*arguments)
    gc.collect()


# ------------------------------------------------------------------------------------------------------------ views
@pytest.mark.parametrize("size", [0, 5, LONG])
def test_a_view_shows_a_value_where_it_lies(make: Make, reader: Reader, size: int) -> None:
    t = make()
    r = reader(t)
    data = bytes(range(251)) * 20
    t.publish(data[:size])
    view = r.view()
    with view as window:
        assert window is view
        assert (len(view), view.number, view.ended, bytes(view)) == (size, 1, False, data[:size])
        assert view.pinned == (size < LONG)
        assert memoryview(view).readonly
        if size:
            assert (view[0], view[1:3]) == (0, data[1:3])
            with pytest.raises(IndexError):
                view[size]
        view.check()
    assert view.ended
    for call in (lambda: bytes(view), lambda: view[0], view.__enter__, view.check):
        with pytest.raises(namedshm.ClosedHandle, match="ended"):
            call()
    view.release()


@pytest.mark.parametrize("which", ["latest", "new", "next"])
@pytest.mark.parametrize("how", ["view", "pin"])
def test_which_value_it_shows(make: Make, how: str, which: Any) -> None:
    t = make()
    call: Callable[..., Any] = getattr(t, how)
    with pytest.raises(Empty):
        call(0, which=which)
    for number in range(1, 4):
        t.publish(b"%d" % number * LONG)
    t.position = 1
    with call(0, which=which) as window:
        assert window[0] == ord("2" if which == "next" else "3")
    assert t.position == (2 if which == "next" else 3)
    t.position = 3
    if which == "latest":
        with call(0, which=which) as window:
            assert window.number == 3
    else:
        with pytest.raises(Empty):
            call(0, which=which)
    for wrong in ("oldest", "", "LATEST"):
        with pytest.raises(namedshm.InvalidArgument):
            call(0, which=wrong)


def test_what_was_overtaken_is_told_at_the_end_of_the_block(make: Make, reader: Reader) -> None:
    t = make(history=2)
    r = reader(t)
    t.publish(bytes(LONG))

    def look() -> None:
        with r.view() as window:
            assert window[0] == 0
            flood(t)
            with pytest.raises(Overrun):
                window.check()

    with pytest.raises(Overrun, match="does not count") as caught:
        look()
    assert caught.value.missed == 60
    assert isinstance(caught.value, namedshm.NamedShmError)
    with r.view() as window:
        assert window[0] == 0xFF


def test_what_the_history_still_has_is_not_overtaken(make: Make, reader: Reader) -> None:
    t = make(history=4)
    r = reader(t)
    t.publish(bytes(LONG))
    with r.view() as window:
        flood(t, 3)
        assert not any(window)


def test_an_error_of_a_torn_value_is_not_the_last_word(make: Make, reader: Reader) -> None:
    t = make(history=1)
    r = reader(t)
    t.publish(bytes(LONG))

    def fail(error: type[BaseException]) -> None:
        with r.view():
            flood(t)
            raise error

    with pytest.raises(Overrun) as caught:
        fail(ZeroDivisionError)
    assert isinstance(caught.value.__context__, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError), r.view():
        raise ZeroDivisionError
    with pytest.raises(KeyboardInterrupt):
        fail(KeyboardInterrupt)


def test_a_short_value_is_copied_and_never_overtaken(make: Make, reader: Reader) -> None:
    t = make(history=1)
    r = reader(t)
    t.publish(b"short")
    for call in (r.view, t.view, t.pin):
        with call() as window:
            flood(t)
            assert bytes(window) == b"short"
            window.check()
        t.publish(b"short")


def test_a_view_that_is_released_by_hand_says_it_too(make: Make, reader: Reader) -> None:
    t = make(history=1)
    r = reader(t)
    t.publish(bytes(LONG))
    view = r.view()
    flood(t)
    with pytest.raises(Overrun):
        view.release()
    assert view.ended


def test_a_buffer_of_a_view_keeps_the_memory_and_not_the_value(make: Make, reader: Reader) -> None:
    t = make(history=1)
    r = reader(t)
    t.publish(bytes(LONG))
    with r.view() as window:
        kept = memoryview(window)
    assert not any(kept)
    flood(t)
    r.close()
    t.close()
    assert kept[0] in (0, 0xFF)  # mapped still


# ------------------------------------------------------------------------------------------------------------ pins
def test_what_is_pinned_is_not_written_over(make: Make) -> None:
    t = make(history=1)
    t.publish(bytes(LONG))
    view = t.pin()
    with view as window:
        assert t.statistics().pinned == 1
        flood(t)
        assert not any(window)
        assert (window.pinned, window.number) == (True, 1)
        window.check()
    assert t.statistics().pinned == 0
    assert t.latest()[0] == 0xFF


def test_without_pins_nothing_is_pinned(make: Make) -> None:
    t = make(pins=0)
    t.publish(bytes(LONG))
    with pytest.raises(namedshm.Unsupported, match="pins=0"):
        t.pin()
    assert len(t.latest()) == LONG


def test_as_many_are_pinned_as_there_is_room_for(make: Make, reader: Reader) -> None:
    t = make(pins=2)
    other = reader(t, "write")
    t.publish(bytes(LONG))
    first, second = t.pin(), t.pin()
    with pytest.raises(namedshm.OutOfResources, match="2 pins"):
        other.pin()
    first.release()
    first = t.pin()  # a handle keeps its places
    flood(t)
    assert not any(first)
    assert not any(second)
    first.release()
    second.release()
    t.close()
    with other.pin() as window:
        assert window[0] == 0xFF


def test_a_buffer_of_a_pin_keeps_it(make: Make) -> None:
    t = make(history=1)
    t.publish(bytes(LONG))
    with t.pin() as window:
        kept = memoryview(window)
    assert window.ended
    assert t.statistics().pinned == 1
    flood(t)
    assert not any(kept)
    del kept
    assert t.statistics().pinned == 0


def test_a_pin_that_is_dropped_is_given_up_and_says_so(make: Make) -> None:
    t = make()
    t.publish(bytes(LONG))
    with pytest.warns(ResourceWarning, match="not released"):
        dropped(t.pin)
    assert t.statistics().pinned == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped(t.view)
        t.publish(b"short")
        dropped(t.pin)


def test_windows_live_on_when_the_topic_is_closed(make: Make, name: str) -> None:
    t = make(name=name)
    t.publish(b"\7" * LONG)
    pin, view, loan = t.pin(), t.view(), t.loan()
    t.close()
    with pytest.raises(namedshm.NotFound):  # the name goes at once
        Topic.open(name)
    assert pin[LONG - 1] == view[0] == 7
    view.release()
    pin.release()
    with pytest.raises(namedshm.ClosedHandle):
        loan.commit()  # type: ignore[attr-defined]
    loan.abandon()  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------------ loans
@pytest.mark.parametrize("most", [100, 100_000])
def test_a_value_is_written_where_it_will_lie(make: Make, reader: Reader, most: int) -> None:
    t = make(max_size=most)
    r = reader(t)
    with t.loan(size=5) as window:
        assert (len(window), window.length, window.ended) == (5, 5, False)
        window[:] = b"hello"
        window[0] = ord("H")
        assert (window[1], window[:3]) == (ord("e"), b"Hel")
        with pytest.raises(Empty):
            r.latest(0)
    assert window.ended
    assert r.latest() == b"Hello"
    with t.loan() as window:
        assert len(window) == most
        window.length = io.BytesIO(b"from a file").readinto(window)
    assert r.latest() == b"from a file"
    for wrong in (most + 1, -1):
        with pytest.raises(namedshm.InvalidArgument), t.loan() as window:
            window.length = wrong
    with pytest.raises(ZeroDivisionError), t.loan():
        raise ZeroDivisionError
    with t.loan() as window:
        window.abandon()
        window.abandon()
        with pytest.raises(namedshm.ClosedHandle):
            window.commit()
    assert t.statistics().published == 2
    assert t.statistics().loaned == 0


@pytest.mark.parametrize("most", [100, 100_000])
def test_what_could_still_be_written_is_not_published(make: Make, most: int) -> None:
    t = make(max_size=most)
    with pytest.raises(BufferError, match="del"), t.loan() as window:
        kept = memoryview(window)
    assert t.statistics().published == 0
    kept[0] = 1  # the memory is its own as long as it lives
    assert t.statistics().loaned == (most > 1000)
    del kept
    assert t.statistics().loaned == 0


def test_a_loan_that_is_dropped_publishes_nothing_and_says_so(make: Make) -> None:
    t = make()
    with pytest.warns(ResourceWarning, match="nothing was published"):
        dropped(t.loan)
    assert (t.statistics().published, t.statistics().loaned) == (0, 0)


def test_as_many_are_filled_as_there_is_room_for(make: Make) -> None:
    t = make(writers=2)
    first, second = t.loan(), t.loan()
    with pytest.raises(Full, match="all 2 values"):
        t.loan(0)
    with pytest.raises(Full):
        t.loan(0.01)
    with pytest.raises(Full):
        t.publish(bytes(LONG), 0)
    t.publish(b"short")  # needs no frame
    first.abandon()  # type: ignore[attr-defined]
    t.publish(bytes(LONG), 0)
    second.commit()  # type: ignore[attr-defined]
    assert t.statistics().published == 3


def test_a_number_is_given_when_it_is_published(make: Make) -> None:
    t = make()
    first: Any = t.loan(size=5)
    t.publish(b"between")
    first[:] = b"first"
    first.commit()
    assert [t.next(0), t.next(0)] == [b"between", b"first"]


# ------------------------------------------------------------------------------------------------------------ a fast writer
@pytest.mark.parametrize("access", ["read", "write"])
def test_a_slow_reader_beside_a_fast_writer_never_believes_what_is_torn(make: Make, reader: Reader, access: str) -> None:
    """All bytes of a value are its number's; what differs was torn, and must have been told."""
    t = make(history=1, max_size=100_000)
    r = reader(t, access)
    stop = threading.Event()
    t.publish(bytes(100_000))

    def write() -> None:
        number = 0
        while not stop.is_set():
            number = (number + 1) % 256
            t.publish(bytes([number]) * 100_000)

    writer = threading.Thread(target=write)
    writer.start()
    good = overrun = 0
    try:
        while good < 200 or overrun < 5:
            try:
                with r.view() as window:
                    first = window[0]
                    if overrun < 5:
                        number = window.number
                        until(lambda n=number: t.statistics().published > n + 40, "the writer")  # type: ignore[misc]
                    torn = bytes(window).strip(bytes([first])) != b""
            except Overrun:
                overrun += 1
                continue
            assert not torn
            good += 1
        copies = 0
        while copies < 200:
            try:
                data = r.latest()
            except Overrun:
                assert access == "read"
                continue
            assert data == data[:1] * 100_000
            copies += 1
            if access == "write":
                with r.pin() as window:
                    until(lambda n=window.number: t.statistics().published > n + 3, "the writer")  # type: ignore[misc]
                    assert bytes(window) == bytes(window[:1]) * 100_000
    finally:
        stop.set()
        writer.join()
