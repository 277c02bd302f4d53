"""create(huge_pages=...): huge where the system gives them, and where it does not, an error that says how, or small ones.

Shared memory gets huge pages on advice only if an administrator allowed it.  As root these tests allow it for as long as they
run; other programs notice nothing, unless they ask for such pages too.
"""

from __future__ import annotations

import contextlib
import inspect
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.facts import is_root, on_linux, on_windows
from helpers.peer import Peer

import namedshm

from .conftest import UNIT, pattern

SETTINGS = Path("/sys/kernel/mm/transparent_hugepage")
ADVICE = SETTINGS / "shmem_enabled"
SIZE = 8 * UNIT
linux = pytest.mark.skipif(not on_linux, reason="transparent huge pages are Linux'")


@pytest.fixture(scope="module")
def allowed() -> Iterator[None]:
    """Shared memory gets huge pages on advice, or the test is skipped."""
    if not ADVICE.exists():
        pytest.skip("this system has no transparent huge pages for shared memory")
    before = re.search(r"\[(\w+)\]", ADVICE.read_text())[1]
    if before in ("deny", "never"):
        if not is_root:
            pytest.skip("needs root to allow huge pages of shared memory")
        try:
            ADVICE.write_text("advise")
        except OSError as error:
            pytest.skip(f"huge pages of shared memory cannot be allowed here: {error}")
    yield
    if before in ("deny", "never"):
        ADVICE.write_text(before)


def huge(view: namedshm.View) -> int:
    """Bytes of a view's mapping that are mapped by huge pages."""
    inside = False
    with open("/proc/self/smaps") as file:
        for line in file:
            first = line.split()[0]
            if "-" in first:
                start, end = (int(number, 16) for number in first.split("-"))
                inside = start <= view.address < end
            elif inside and first == "ShmemPmdMapped:":
                return int(line.split()[1]) * 1024
    raise AssertionError("the view is not mapped")


# ---------------------------------------------------------------------------------------------------- where they are given
@linux
@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("wish", ["try", "require"])
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("size", [UNIT, SIZE, 20 * UNIT])  # up to 16 MiB segments have neighbours, which huge ones must not
def test_a_section_is_in_huge_pages(name: str, wish: str, named: bool, size: int) -> None:
    with namedshm.create(name if named else None, size, huge_pages=wish) as section, section.map() as view:
        view.populate()
        assert huge(view) == size
        assert view[:] == bytes(size)


@linux
@pytest.mark.usefixtures("allowed")
def test_without_the_wish_it_is_not(name: str) -> None:
    with namedshm.create(name, SIZE) as section, section.map() as view:
        view.populate()
        assert huge(view) == 0


@linux
@pytest.mark.usefixtures("allowed")
def test_the_size_stays_exact_and_only_whole_huge_pages_are_huge(name: str) -> None:
    size = 3 * UNIT + 4097
    with namedshm.create(name, size, huge_pages="require") as section, section.map() as view:
        source = pattern(size)
        namedshm.copy(view, source)
        assert (section.size, len(view)) == (size, size)
        assert huge(view) == 3 * UNIT
        assert view[:] == source
        assert namedshm.describe(name).resident == 3 * UNIT + 2 * 4096


@linux
@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("access", ["write", "read"])
def test_an_opener_makes_and_maps_huge_pages_too(name: str, access: str, peers: Callable[[], Peer]) -> None:
    with namedshm.create(name, SIZE, huge_pages="require") as section, section.map() as view:
        peer = peers()
        peer.do(inspect.getsource(huge))
        peer.do("s = namedshm.open(name, access); v = s.map(); v.populate()", name=name, access=access)  # before the creator did
        assert peer.do("huge(v)") == SIZE
        view[SIZE - 1] = 7
        assert huge(view) == UNIT  # what it touched
        assert peer.do("v[-1]") == 7


@linux
@pytest.mark.usefixtures("allowed")
def test_views_of_every_kind_are_in_huge_pages(name: str) -> None:
    with namedshm.create(name, SIZE, huge_pages="require") as section, section.duplicate() as other:
        for view in (section.map(), section.map(access="read"), other.map(), other.duplicate("read").map(UNIT)):
            view.populate()
            assert huge(view), view
            view.close()


@linux
@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("way", ["kernel", "fault"])
def test_a_copy_on_write_view_of_huge_pages_is_private_page_by_page(name: str, way: str) -> None:
    from namedshm._backend.linux import native

    source = pattern(SIZE)
    with namedshm.create(name, SIZE, huge_pages="require") as section, section.map() as view:
        namedshm.copy(view, source)
        native.set_kernel_copy(way == "kernel")
        try:
            private = section.map(access="copy")
        finally:
            native.set_kernel_copy(True)
        private[5] = source[5] ^ 1
        view[8192] = source[8192] ^ 1
        assert view[5] == source[5]
        assert private[8192] == view[8192]
        namedshm.copy(private, bytes(SIZE))
        assert private[:] == bytes(SIZE)
        assert view[9000:] == source[9000:]


@linux
@pytest.mark.usefixtures("allowed")
def test_all_of_it_is_given_back_with_the_last_view(name: str) -> None:
    def in_use() -> int:
        return int(re.search(r"Shmem:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) * 1024

    size = 64 * UNIT
    section = namedshm.create(name, size, huge_pages="require")
    view = section.map()
    section.close()
    view.populate()
    full = in_use()
    view.close()
    assert full - in_use() > size // 2  # others use shared memory meanwhile
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


# ---------------------------------------------------------------------------------------------------- where they are not
def test_trying_is_always_fine(name: str) -> None:
    for size in (1, UNIT, 2 * UNIT + 1):
        with namedshm.create(name, size, huge_pages="try") as section, section.map() as view:
            view[-1] = 1
            assert section.size == size


def test_exist_ok_opens_what_is_there_whatever_it_is_made_of(name: str) -> None:
    with namedshm.create(name, SIZE) as section, namedshm.create(name, SIZE, exist_ok=True, huge_pages="try") as same:
        assert same.identity == section.identity


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[[str, str | None], Peer]]:
    """configured("never", "inherit") is a process that finds these words in the settings; None: no such setting."""
    if not (is_root and shutil.which("unshare")):
        pytest.skip("needs root and unshare to show a process other settings")
    if not ADVICE.exists():
        pytest.skip("this system has no such settings to put others over")
    made = contextlib.ExitStack()

    def make(everywhere: str, of_size: str | None) -> Peer:
        folder = tmp_path / "settings"
        folder.mkdir()
        (folder / "shmem_enabled").write_text("always within_size advise never deny force\n".replace(everywhere, f"[{everywhere}]"))
        if of_size is not None:
            (folder / "hugepages-2048kB").mkdir()
            words = "always inherit within_size advise never\n".replace(of_size, f"[{of_size}]")
            (folder / "hugepages-2048kB" / "shmem_enabled").write_text(words)
        script = f'mount --bind {folder} {SETTINGS} && exec "$@"'
        probe = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", "true"], capture_output=True, check=False)
        if probe.returncode:
            pytest.skip(f"other settings cannot be shown here: {probe.stderr.decode(errors='replace').strip()}")
        return made.enter_context(Peer(prefix=("unshare", "--mount", "sh", "-c", script, "sh")))

    with made:
        yield make


@linux
@pytest.mark.parametrize(
    "words", [("never", "inherit"), ("deny", "always"), ("advise", "never"), ("never", None), ("always", "never")]
)
def test_required_where_they_are_off_is_unsupported_and_says_what_to_do(
    configured: Callable[[str, str | None], Peer], words: tuple[str, str | None], name: str
) -> None:
    peer = configured(*words)
    with pytest.raises(namedshm.Unsupported, match=f"echo advise > {ADVICE}") as caught:
        peer.do("namedshm.create(name, 2**21, huge_pages='require')", name=name)
    assert name in str(caught.value)
    assert words[0] in str(caught.value)
    with pytest.raises(namedshm.NotFound):
        peer.do("namedshm.open(name)", name=name)
    peer.do("namedshm.create(name, 2**21, huge_pages='try').map()[0] = 1", name=name)


@linux
@pytest.mark.parametrize(
    "words", [("advise", "inherit"), ("never", "advise"), ("within_size", None), ("force", "never"), ("always", "inherit")]
)
def test_required_where_they_are_on_is_a_section(
    configured: Callable[[str, str | None], Peer], words: tuple[str, str | None], name: str
) -> None:
    configured(*words).do("namedshm.create(name, 2**21, huge_pages='require')", name=name)


@linux
def test_required_where_the_kernel_has_none_is_unsupported(configured: Callable[[str, str | None], Peer], tmp_path: Path) -> None:
    peer = configured("advise", None)
    (tmp_path / "settings" / "shmem_enabled").unlink()
    with pytest.raises(namedshm.Unsupported, match="CONFIG_TRANSPARENT_HUGEPAGE"):
        peer.do("namedshm.create(None, 2**21, huge_pages='require')")


@linux
def test_required_for_less_than_one_huge_page_is_unsupported(name: str) -> None:
    with pytest.raises(namedshm.Unsupported, match="make it larger"):
        namedshm.create(name, UNIT - 1, huge_pages="require")
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


@pytest.mark.skipif(not on_windows, reason="Windows'")
def test_required_on_windows_is_unsupported(name: str) -> None:
    with pytest.raises(namedshm.Unsupported, match="Windows"):
        namedshm.create(name, SIZE, huge_pages="require")


@pytest.mark.parametrize("wish", ["yes", True, 0, ""])
def test_other_wishes_are_refused(name: str, wish: object) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="'try', 'require' or None"):
        namedshm.create(name, SIZE, huge_pages=wish)


@pytest.mark.parametrize("wish", ["try", "require"])
def test_reserved_and_file_backed_sections_have_small_pages(name: str, wish: str, tmp_path: Path) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="reserved"):
        namedshm.create(name, SIZE, reserve=True, huge_pages=wish)
    with open(tmp_path / "file", "w+b") as file, pytest.raises(namedshm.InvalidArgument, match="file"):
        namedshm.create(name, SIZE, file=file.fileno(), huge_pages=wish)
