"""What create, open, map and duplicate take, and what they say to everything else.  Nothing refused leaves anything behind."""

from __future__ import annotations

import pytest
from helpers.facts import on_linux
from helpers.ids import plain

import namedshm


@pytest.fixture(autouse=True)
def _nothing_is_made(name: str, request: pytest.FixtureRequest) -> object:
    yield
    with pytest.raises(namedshm.NotFound):
        namedshm.open(name)


@pytest.mark.parametrize("size", [0, -1, -4096, -(1 << 63), -(1 << 70)])
def test_a_size_below_1_is_an_invalid_argument(name: str, size: int) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="at least 1") as caught:
        namedshm.create(name, size)
    assert caught.value.winerror == 87


@pytest.mark.parametrize("size", [1 << 63, 1 << 64, 1 << 100, (1 << 63) - 1, 1 << 60])
def test_a_size_no_system_has_is_out_of_resources(name: str, size: int) -> None:
    with pytest.raises(namedshm.OutOfResources, match=name) as caught:
        namedshm.create(name, size)
    assert caught.value.winerror in (8, 1455)


@pytest.mark.parametrize("size", [1.0, 1.5, float("nan"), float("inf"), "100", b"100", None, [], {}, object()], ids=plain)
def test_a_size_that_is_no_integer_is_a_type_error(name: str, size: object) -> None:
    with pytest.raises(TypeError, match="integer"):
        namedshm.create(name, size)  # type: ignore[arg-type]


def test_integers_of_other_types_are_sizes(name: str) -> None:
    class Index:
        def __index__(self) -> int:
            return 100

    numpy = pytest.importorskip("numpy")
    for size in (Index(), numpy.int64(100), numpy.uint8(100)):
        with namedshm.create(name, size) as section:
            assert section.size == 100
            assert type(section.size) is int
    with namedshm.create(name, True) as section:  # bool is an int in Python: one byte
        assert section.size == 1


@pytest.mark.parametrize("access", ["", "rw", "w", "Read", None, 1, b"read", ["read"]], ids=plain)
def test_an_access_of_a_handle_is_read_or_write(name: str, access: object) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="read"):
        namedshm.create(name, 100, access=access)  # type: ignore[arg-type]
    with pytest.raises(namedshm.InvalidArgument, match="read"):
        namedshm.open(name, access)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", [0o700, 0o601, 0o1600, -1, 0o10000, "0600", 1.0, None])
def test_a_mode_has_read_and_write_bits_only(name: str, mode: object) -> None:
    with pytest.raises(namedshm.InvalidArgument, match="mode"):
        namedshm.create(name, 100, mode=mode)  # type: ignore[arg-type]


@pytest.mark.skipif(not on_linux, reason="groups of POSIX")
@pytest.mark.parametrize("group", ["no-such-group-here", "", -5, 1 << 40, 1.5])
def test_an_unknown_group_is_refused(name: str, group: object) -> None:
    with pytest.raises((namedshm.InvalidArgument, TypeError)):
        namedshm.create(f"Global\\{name}", 100, mode=0o660, group=group)  # type: ignore[arg-type]
    with pytest.raises(namedshm.NotFound):
        namedshm.open(f"Global\\{name}")


def test_options_are_keywords(name: str) -> None:
    with pytest.raises(TypeError):
        namedshm.create(name, 100, True)  # type: ignore[misc]
    with pytest.raises(TypeError):
        namedshm.open(name, "read", True)  # type: ignore[misc]
    with namedshm.create(name, 100) as section, pytest.raises(TypeError):
        section.map(0, 10, "read", True)  # type: ignore[misc]


@pytest.mark.parametrize("offset", ["0", 1.0, 65536.0, None, b"", []], ids=plain)
def test_an_offset_that_is_no_integer_is_refused(name: str, offset: object) -> None:
    with namedshm.create(name, 100_000) as section, pytest.raises((TypeError, namedshm.InvalidArgument)):
        section.map(offset, 10)  # type: ignore[arg-type]


@pytest.mark.parametrize("length", ["10", 10.0, b"", []], ids=plain)
def test_a_length_that_is_no_integer_is_a_type_error(name: str, length: object) -> None:
    with namedshm.create(name, 100) as section, pytest.raises(TypeError):
        section.map(0, length)  # type: ignore[arg-type]


@pytest.mark.parametrize(("offset", "length"), [(1 << 70, None), (-65536, None), (0, 1 << 70), (0, -(1 << 70)), (1 << 64, 1)])
def test_ranges_beyond_any_address_are_refused_like_other_wrong_ranges(name: str, offset: int, length: int | None) -> None:
    with namedshm.create(name, 100) as section, pytest.raises((namedshm.InvalidArgument, namedshm.AccessDenied)):
        section.map(offset, length)


def test_sections_and_views_are_not_made_by_calling_their_classes() -> None:
    with pytest.raises(TypeError):
        namedshm.View()
    with pytest.raises(TypeError):
        namedshm.Section()  # type: ignore[call-arg]


@pytest.mark.parametrize("attribute", ["name", "size", "access", "created", "identity", "closed"])
def test_facts_of_a_section_cannot_be_changed(name: str, attribute: str) -> None:
    with namedshm.create(name, 100) as section, pytest.raises(AttributeError):
        setattr(section, attribute, None)


def test_a_section_takes_no_attributes_but_weak_references(name: str) -> None:
    import weakref

    with namedshm.create(name, 100) as section:
        assert weakref.ref(section)() is section
        with pytest.raises(AttributeError):
            section.colour = 1  # type: ignore[attr-defined]


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for public in namedshm.__all__:
        assert getattr(namedshm, public).__doc__, public
    assert set(namedshm.__all__) <= set(dir(namedshm))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        namedshm.nonsense  # noqa: B018
