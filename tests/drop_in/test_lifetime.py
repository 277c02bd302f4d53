"""How long a block's name lives: until somebody unlinks it, or its maker has ended and nobody has it open.

On Windows a name goes with its last handle, here as in the standard library; what is said of that is said where it differs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.facts import has_fork, on_linux, on_windows
from helpers.peer import Peer
from helpers.worker import end_as_maker

import namedshm
from namedshm import shared_memory
from namedshm._drop_in import blocks
from namedshm.shared_memory import ShareableList, SharedMemory

IMPORT = "from namedshm.shared_memory import SharedMemory, ShareableList\n"
kept = pytest.mark.skipif(on_windows, reason="there the last handle's end is the name's")


def _leave(peer: Peer, end: str) -> None:
    peer.kill() if end == "kill" else peer.close()


# ------------------------------------------------------------------------------------------------------------ the maker
@kept
@pytest.mark.parametrize("end", ["exit", "kill"])
@pytest.mark.parametrize("before", ["pass", "b.close()", "del b", "b.close(); del b", "b.close(); b.close(); b.__del__()"])
def test_the_maker_keeps_the_name_until_it_ends_whatever_it_does_with_its_object(
    end: str, before: str, name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]
) -> None:
    maker = peers()
    maker.do(f"{IMPORT}b = SharedMemory(name, create=True, size=10); b.buf[0] = 7; None\n{before}", name=name)
    assert SharedMemory(name).buf[0] == 7
    _leave(maker, end)
    assert gone(name)
    assert not [info for info in namedshm.list_objects() if info.name == name]


@kept
@pytest.mark.parametrize("end", ["exit", "kill"])
def test_who_has_it_open_holds_the_name_after_its_maker_has_ended(
    end: str, name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]
) -> None:
    maker, user = peers(), peers()
    maker.do(f"{IMPORT}b = SharedMemory(name, create=True, size=10); b.close()", name=name)
    user.do(f"{IMPORT}b = SharedMemory(name)", name=name)
    _leave(maker, end)
    assert not gone(name)
    user.do("b.close()")  # it did not make it
    assert gone(name)


@kept
def test_create_fill_close_send_and_the_receiver_unlinks(name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]) -> None:
    sender, receiver = peers(), peers()
    sent = sender.do(f"{IMPORT}b = SharedMemory(create=True, size=8); b.buf[:] = b'contents'; b.close(); b.name")
    assert receiver.do(f"{IMPORT}r = SharedMemory(n); bytes(r.buf)", n=sent) == b"contents"
    receiver.do("r.close(); r.unlink()")
    assert gone(sent)


@kept
def test_create_tell_close_wait_for_all_and_unlink(name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]) -> None:
    maker, users = peers(), [peers(), peers()]
    maker.do(f"{IMPORT}b = SharedMemory(name, create=True, size=8); b.buf[0] = 3; b.close()", name=name)
    for user in users:
        assert user.do(f"{IMPORT}u = SharedMemory(name); u.buf[0]", name=name) == 3
    maker.do("b.unlink()")
    assert gone(name)
    for user in users:
        assert user.do("u.buf[0]") == 3


@kept
@pytest.mark.skipif(not has_fork, reason="this system has no fork")
def test_a_forked_child_keeps_nothing_that_its_parent_keeps(
    name: str, peers: Callable[[], Peer], gone: Callable[[str], bool], tmp_path: Path
) -> None:
    parent = peers()
    parent.do(f"{IMPORT}b = SharedMemory(name, create=True, size=10); b.close(); del b", name=name)
    with parent.fork(tmp_path) as child:
        assert child.do("from namedshm._drop_in.blocks import kept; kept.all()") == []
        child.do("c = SharedMemory(name + 'c', create=True, size=10); c.close()")
        assert not gone(name + "c")  # its own it keeps
        parent.kill()
        assert gone(name)
    assert gone(name + "c")


@pytest.mark.skipif(not on_windows, reason="elsewhere the maker keeps it")
def test_on_windows_the_name_goes_with_the_last_handle(name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]) -> None:
    block = SharedMemory(name, create=True, size=10)
    peer = peers()
    peer.do(f"{IMPORT}b = SharedMemory(name)", name=name)
    block.unlink()
    block.close()
    assert not gone(name)  # the other holds it
    with pytest.raises(FileExistsError):
        SharedMemory(name, create=True, size=10)
    peer.do("b.close()")
    assert gone(name)


# ------------------------------------------------------------------------------------------------------------ unlink
@kept
@pytest.mark.parametrize("who", ["its maker", "its maker, closed", "another", "another, closed", "another object of its maker"])
def test_unlink_takes_the_name_away_at_once_and_leaves_everybody_the_memory(
    who: str, name: str, peers: Callable[[], Peer], gone: Callable[[str], bool]
) -> None:
    maker, reader, other = peers(), peers(), peers()
    maker.do(f"{IMPORT}b = SharedMemory(name, create=True, size=10); view = b.buf", name=name)
    for peer in (reader, other):
        peer.do(f"{IMPORT}b = SharedMemory(name); view = b.buf", name=name)
    unlinker = maker if "maker" in who else other
    if "closed" in who:
        unlinker.do("b.close()")
    unlinker.do("SharedMemory(name).unlink()" if "another object" in who else "b.unlink()", name=name)
    assert gone(name)
    again = SharedMemory(name, create=True, size=20)
    assert (again.size, bytes(again.buf)) == (20, bytes(20))
    assert reader.do("view[3] = 3; b.size") == 10
    assert [maker.do("view[3]"), other.do("view[3]"), again.buf[3]] == [3, 3, 0]
    assert peers().do(f"{IMPORT}SharedMemory(name).size", name=name) == 20
    for peer in (maker, reader, other):
        peer.do("b.close(); del view")
        assert not gone(name)
    for peer in (maker, reader, other):  # the later block of that name is not theirs to unlink
        peer.do("b.unlink()")
        assert not gone(name)


def test_unlink_may_be_called_at_any_time_and_twice(name: str, gone: Callable[[str], bool]) -> None:
    block = SharedMemory(name, create=True, size=10)
    twin = SharedMemory(name)
    twin.unlink()
    block.unlink()
    block.unlink()
    block.close()
    block.unlink()
    twin.close()
    twin.unlink()
    assert gone(name)


@kept
def test_the_same_name_again_while_others_hold_the_old_block(name: str) -> None:
    old = [SharedMemory(name, create=True, size=10)]
    for size in range(11, 60):
        held = SharedMemory(name)
        old[-1].close()
        old[-1].unlink()
        old.append(SharedMemory(name, create=True, size=size))
        held.buf[0] = 1
        assert old[-1].buf[0] == 0
        assert SharedMemory(name).size == size


def _attached() -> int:
    return Path("/proc/self/maps").read_text(errors="replace").count("/SYSV")


@pytest.fixture
def receiver(peers: Callable[[], Peer]) -> Peer:
    peer = peers()
    peer.do(f"""{IMPORT}
def take(names):
    for name in names:
        block = SharedMemory(name)
        assert block.buf[0] == 1
        block.close()
        block.unlink()
""")
    return peer


@pytest.mark.skipif(not on_linux, reason="reads /proc")
@pytest.mark.timeout(110)
def test_a_sender_does_not_grow_when_others_unlink(receiver: Peer) -> None:
    before, most = _attached(), 0
    for _ in range(400):
        names = []
        for _ in range(50):
            block = SharedMemory(create=True, size=8)
            block.buf[0] = 1
            block.close()
            names.append(block.name)
        receiver.do("take(names)", names=names)
        most = max(most, _attached())
    assert most - before <= 2 * 2 * 50 + 4  # token and data of two rounds
    SharedMemory(create=True, size=8).unlink()
    assert _attached() - before <= 4
    assert len(blocks.kept._turns) <= 2


@pytest.mark.skipif(not on_linux, reason="reads /proc")
def test_what_is_kept_for_good_does_not_hide_what_was_unlinked(receiver: Peer) -> None:
    lasting = [SharedMemory(create=True, size=8) for _ in range(20)]
    before = _attached()
    for _ in range(200):
        block = SharedMemory(create=True, size=8)
        block.buf[0] = 1
        receiver.do("take(names)", names=[block.name])
    assert _attached() - before <= 2 * 2 * len(lasting)
    assert all(SharedMemory(block.name).size == 8 for block in lasting)


@pytest.mark.skipif(not on_linux, reason="limits the kernel's table of segments")
def test_a_maker_that_can_make_no_more_lets_go_of_what_others_unlinked(tmp_path: Path) -> None:
    script = 'echo 64 > /proc/sys/kernel/shmmni && exec "$@"'
    prefix = ("unshare", "--ipc", "sh", "-c", script, "sh")
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and unshare to have a segment table of its own")
    with Peer(prefix=prefix) as maker:
        made = maker.do(f"""{IMPORT}
import namedshm
blocks = []
try:
    while len(blocks) < 100:
        blocks.append(SharedMemory(create=True, size=8))
except namedshm.OutOfResources:
    pass
[block.name for block in blocks]""")
        assert 20 < len(made) < 32  # of token and data each
        with maker.fork(tmp_path) as other:
            other.do("for block in blocks[-10:]: block.unlink(); block.close()")
            other.do("for block in blocks: block.close()")
        maker.do("for block in blocks[-10:]: block.close()")  # looks at the names of two others, no more
        maker.do("more = [SharedMemory(create=True, size=8) for _ in range(10)]")
        assert maker.do("[SharedMemory(block.name).size for block in blocks[:-10] + more]") == [8] * len(made)


def test_a_maker_of_a_fixed_name_does_not_grow(name: str, gone: Callable[[str], bool]) -> None:
    for _ in range(20_000):
        block = SharedMemory(name, create=True, size=8)
        block.close()
        block.unlink()
    assert gone(name)
    assert len(blocks.kept._turns) <= 2


# ------------------------------------------------------------------------------------------------------------ subclasses
class _KeepsItself(SharedMemory):
    """Whose unlink() removes more than a name, or does nothing: nobody else may call it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.called: list[str] = []
        super().__init__(*arguments, **options)

    def unlink(self) -> None:
        self.called.append("unlink")

    def close(self) -> None:
        self.called.append("close")
        super().close()


def test_close_unlink_and_the_end_call_nothing_that_a_subclass_may_have_changed(name: str, gone: Callable[[str], bool]) -> None:
    block = _KeepsItself(name, create=True, size=10)
    called = block.called
    block.close()
    assert (block.buf, called) == (None, ["close"])
    SharedMemory.unlink(block)
    assert called == ["close"]
    assert gone(name)
    block = _KeepsItself(name, create=True, size=10)
    called = block.called
    del block
    assert called == []
    end_as_maker()
    assert gone(name)
    items = ShareableList([1], name=name)
    items.shm.close()
    items.shm.unlink()
    assert gone(name)


def test_private_details_of_files_are_missing_and_say_why(name: str) -> None:
    block = SharedMemory(name, create=True, size=10)
    for private in ("_fd", "_mmap"):
        assert not hasattr(block, private)
        with pytest.raises(AttributeError, match=rf"{private}.*without a file.*use buf"):
            getattr(block, private)
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        block.nonsense  # noqa: B018


@pytest.mark.skipif(on_windows, reason="the standard module has none there either")
def test_the_tracker_is_where_libraries_patch_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiprocessing import resource_tracker

    assert shared_memory.resource_tracker is resource_tracker
    monkeypatch.setattr(shared_memory, "resource_tracker", None)
    assert SharedMemory(create=True, size=1).size == 1


def test_blocks_that_outlive_the_modules_names_at_the_end_of_the_interpreter_say_nothing(program: Callable[..., str]) -> None:
    """Modules are emptied in the opposite order of their making; 3.15 meets this when a program has used a manager."""
    code = """
import sys, types
early = sys.modules["early"] = types.ModuleType("early")
from namedshm import shared_memory
early.things = [shared_memory.SharedMemory(create=True, size=10), shared_memory.ShareableList([1, 2])]
early.things.append(shared_memory.SharedMemory(early.things[0].name))
sys.kept = [early, *(module for name, module in sys.modules.items() if name.startswith("namedshm"))]
print("made")
"""
    assert program(code).split() == ["made"]
