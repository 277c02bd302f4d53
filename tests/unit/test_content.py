"""Words that are read and written in one piece, views that keep the name, and content that appears whole."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest
from helpers.peer import Peer

import namedshm
from namedshm import _held
from namedshm._core import load64, store64


def test_a_word_is_what_was_stored(name: str) -> None:
    with namedshm.create(name, 24) as section, section.map() as view:
        store64(view, 16, 0x0102030405060708)
        assert load64(view, 16) == 0x0102030405060708
        assert int.from_bytes(view[16:24], sys.byteorder) == 0x0102030405060708
        assert load64(view, 8) == 0


@pytest.mark.parametrize("offset", [-8, 4, 17, 24, 1 << 62])
def test_a_word_outside_or_not_aligned_is_an_index_error(name: str, offset: int) -> None:
    with namedshm.create(name, 24) as section, section.map() as view:
        with pytest.raises(IndexError, match=str(offset)):
            load64(view, offset)
        with pytest.raises(IndexError, match=str(offset)):
            store64(view, offset, 1)


def test_a_word_of_a_small_view_is_an_index_error(name: str) -> None:
    with namedshm.create(name, 7) as section, section.map() as view, pytest.raises(IndexError):
        load64(view, 0)


def test_a_word_of_a_read_only_view_cannot_be_stored(name: str) -> None:
    with namedshm.create(name, 8) as section, section.map(access="read") as view, pytest.raises(namedshm.AccessDenied):
        store64(view, 0, 1)


def test_a_word_of_a_closed_view_is_an_error(name: str) -> None:
    with namedshm.create(name, 8) as section:
        view = section.map()
        view.close()
        with pytest.raises(namedshm.ClosedHandle):
            load64(view, 0)
        with pytest.raises(namedshm.ClosedHandle):
            store64(view, 0, 1)


def test_a_word_that_is_not_committed_is_an_error(name: str) -> None:
    with namedshm.create(name, 1 << 20, reserve=True) as section, section.map() as view:
        with pytest.raises(namedshm.AccessDenied):
            load64(view, 0)
        with pytest.raises(namedshm.AccessDenied):
            store64(view, 0, 1)


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_word_has_64_bits(name: str, value: int) -> None:
    with namedshm.create(name, 8) as section, section.map() as view, pytest.raises(OverflowError):
        store64(view, 0, value)


def test_a_buffer_of_a_held_view_keeps_the_name(name: str) -> None:
    buffer = memoryview(_held.hold(namedshm.create(name, 100)))
    part = buffer[10:20]
    del buffer
    gc.collect()
    namedshm.open(name).close()
    part.release()
    del part
    gc.collect()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


def test_closing_the_section_of_a_held_view_lets_the_name_go_and_keeps_the_bytes(name: str) -> None:
    view = _held.hold(namedshm.create(name, 100))
    view[:5] = b"hello"
    view.section.close()
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)
    assert view[:5] == b"hello"


def test_what_another_process_publishes_is_seen_whole(name: str, peers: Callable[[], Peer]) -> None:
    peer = peers()
    peer.do("section = namedshm.create(name, 100); view = section.map(); view[8:] = bytes([7]) * 92", name=name)
    with namedshm.open(name, "read") as section, _held.hold(section) as view:
        with pytest.raises(namedshm.NotReady, match=name):
            _held.published(view, 0)
        peer.do("from namedshm._formats import publication; publication.publish(view, b'ABCDEFGH')")
        assert _held.published(view, 60) == b"ABCDEFGH"
        assert view[8:] == bytes([7]) * 92


def test_a_section_too_small_for_content_is_told(name: str) -> None:
    with namedshm.create(name, 7) as section, pytest.raises(namedshm.InvalidContent, match="7 bytes"):
        _held.published(_held.hold(section), 0)
