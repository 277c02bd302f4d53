"""names.Name: what Windows takes for a name of a kernel object, tried with anything hypothesis can think of."""

from __future__ import annotations

import pytest
from helpers.ids import plain
from hypothesis import given
from hypothesis import strategies as st

from namedshm import errors
from namedshm.names import MAX_LENGTH, Name

BARE = st.text(st.characters(exclude_characters="\\\0"), min_size=1, max_size=MAX_LENGTH)
ORDINARY = BARE.filter(lambda text: text not in ("Global", "Local", "Session"))


@given(ORDINARY)
def test_any_text_without_backslash_and_nul_is_a_local_name(text: str) -> None:
    name = Name(text)
    assert (name.bare, name.is_global, name.text, name.canonical) == (text, False, text, text)


@given(BARE)
def test_a_prefix_is_split_off(text: str) -> None:
    one, two = Name("Local\\" + text), Name("Global\\" + text)
    assert (one.bare, one.is_global, one.canonical) == (text, False, text)
    assert (two.bare, two.is_global, two.canonical) == (text, True, "Global\\" + text)
    assert one != two


@given(ORDINARY)
def test_names_are_equal_when_they_mean_the_same_object(text: str) -> None:
    assert Name(text) == Name("Local\\" + text)
    assert hash(Name(text)) == hash(Name("Local\\" + text))
    assert Name(text) != Name("Global\\" + text)
    assert Name(text) != text
    assert repr(text) in repr(Name(text))


@given(st.text(max_size=400))
def test_a_text_is_a_name_or_is_refused_with_a_known_number(text: str) -> None:
    try:
        name = Name(text)
    except errors.InvalidName as error:
        number: int = error.winerror
    else:
        number = 0
        assert 1 <= len(name.bare) <= MAX_LENGTH
        assert "\\" not in name.bare
        assert "\0" not in name.bare
    assert number in (0, 3, 6, 123, 161, 206)


@given(st.text("GlobaLlcSesion\\", max_size=20))
def test_near_misses_of_prefixes_follow_the_rules(text: str) -> None:
    prefix, backslash, bare = text.partition("\\")
    valid = (
        bool(text) and text not in ("Global", "Local", "Session")
        if not backslash
        else prefix in ("Global", "Local") and bool(bare) and "\\" not in bare
    )
    if valid:
        assert Name(text).bare == (bare if backslash else text)
    else:
        with pytest.raises(errors.InvalidName):
            Name(text)


@given(BARE.filter(lambda text: len(text) > 10))
def test_length_is_counted_in_characters_after_the_prefix(text: str) -> None:
    full = (text * 30)[:MAX_LENGTH]
    for prefix in ("", "Local\\", "Global\\"):
        assert len(Name(prefix + full).bare) == MAX_LENGTH
        with pytest.raises(errors.InvalidName) as caught:
            Name(prefix + full + "x")
        assert caught.value.winerror == 206


@pytest.mark.parametrize("text", [None, 5, b"x", 1.5, [], (), {}, object()], ids=plain)
def test_what_is_not_text_is_a_type_error(text: object) -> None:
    with pytest.raises(TypeError):
        Name(text)  # type: ignore[arg-type]
