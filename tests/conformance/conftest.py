"""The API under test, in its two spellings; a test that asks for ``api`` runs once in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers import worker
from helpers.facts import has_fork
from helpers.peer import ForkedPeer, Peer, _Lender
from helpers.spelling import Pythonic, Win32, speak


@pytest.fixture(params=["namedshm", "win32"])
def api(request: pytest.FixtureRequest) -> Pythonic | Win32:
    return speak(request.param)


@pytest.fixture
def others(api: Pythonic | Win32, name: str, peers: _Lender) -> Callable[[], Peer]:
    """others() is one more process, which finds the same ``api`` and ``name`` the test has."""

    def another() -> Peer:
        peer = peers(name=name)
        peer.do("api = spelling.speak(label)", label=api.label)
        return peer

    return another


@pytest.fixture
def other(others: Callable[[], Peer]) -> Peer:
    return others()


@pytest.fixture
def fork(tmp_path: Path) -> Iterator[Callable[[Peer], ForkedPeer]]:
    """fork(peer) is a child of that peer by fork(2)."""
    if not has_fork:
        pytest.skip("this system has no fork")
    children: list[ForkedPeer] = []

    def make(peer: Peer) -> ForkedPeer:
        children.append(peer.fork(tmp_path))
        return children[-1]

    yield make
    for child in children:
        child.close()


@pytest.fixture(autouse=True)
def _no_handle_stays() -> Iterator[None]:
    """Win32 handles are numbers, so nothing but this closes those a test leaves open."""
    yield
    worker.close_win32_handles()
