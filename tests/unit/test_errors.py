"""The exception tree: one class a decision, each also the fitting builtin, each with its number."""

from __future__ import annotations

import copy
import errno
import pickle

import pytest

import namedshm
from namedshm import errors

TREE = [
    (namedshm.NotFound, FileNotFoundError, 2, errno.ENOENT),
    (namedshm.AlreadyExists, FileExistsError, 183, errno.EEXIST),
    (namedshm.AccessDenied, PermissionError, 5, errno.EACCES),
    (namedshm.WrongType, OSError, 6, errno.EBADMSG),
    (namedshm.ClosedHandle, ValueError, 6, errno.EBADF),
    (namedshm.StaleObject, OSError, 2, errno.ESTALE),
    (namedshm.NotReady, TimeoutError, 21, errno.ETIMEDOUT),
    (namedshm.InvalidContent, ValueError, 13, errno.EBADMSG),
    (namedshm.InvalidName, ValueError, 123, errno.EINVAL),
    (namedshm.InvalidArgument, ValueError, 87, errno.EINVAL),
    (namedshm.OutOfResources, MemoryError, 1455, errno.ENOMEM),
    (namedshm.NotOwned, RuntimeError, 288, errno.EPERM),
    (namedshm.LimitExceeded, ValueError, 298, errno.EOVERFLOW),
    (namedshm.AbandonedMutex, OSError, 128, errno.EOWNERDEAD),
    (namedshm.Unsupported, NotImplementedError, 50, errno.ENOSYS),
]
CLASSES = [row[0] for row in TREE]


@pytest.mark.parametrize(("cls", "builtin", "winerror", "number"), TREE)
def test_each_class_is_a_named_shm_error_and_the_fitting_builtin(
    cls: type[namedshm.NamedShmError], builtin: type[Exception], winerror: int, number: int
) -> None:
    assert issubclass(cls, namedshm.NamedShmError)
    assert issubclass(cls, OSError)
    assert issubclass(cls, builtin)
    error = cls("It failed: do something")
    assert (error.winerror, error.errno) == (winerror, number)
    assert str(error) == f"It failed: do something [error {winerror}]"
    assert error.object_name is None
    assert error.call is None


def test_the_tree_in_the_head_of_errors_names_every_class() -> None:
    for cls in CLASSES:
        assert f"── {cls.__name__} " in (errors.__doc__ or "")
    assert {cls.__name__ for cls in CLASSES} | {"NamedShmError"} == set(errors.__all__)


def test_classes_do_not_catch_each_other() -> None:
    for one in CLASSES:
        for two in CLASSES:
            assert one is two or not issubclass(one, two)


@pytest.mark.parametrize("cls", [*CLASSES, namedshm.NamedShmError])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_survives_pickling_with_all_it_knows(cls: type[namedshm.NamedShmError], protocol: int) -> None:
    error = cls("Text with ü and 'quotes'", winerror=1132, errno=errno.EIO, name="Global\\x", call="shmget")
    for twin in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert type(twin) is cls
        assert str(twin) == str(error)
        assert (twin.winerror, twin.errno, twin.object_name, twin.call, twin.strerror) == (
            1132, errno.EIO, "Global\\x", "shmget", "Text with ü and 'quotes'",
        )  # fmt: skip


def test_errors_of_the_package_say_what_failed_and_which_call(name: str) -> None:
    with pytest.raises(namedshm.NotFound) as caught:
        namedshm.open(name)
    assert name in str(caught.value)
    assert caught.value.object_name == name
    assert caught.value.call


def test_the_builtin_classes_catch_them(name: str) -> None:
    with pytest.raises(FileNotFoundError):
        namedshm.open(name)
    with namedshm.create(name, 10) as section:
        with pytest.raises(FileExistsError):
            namedshm.create(name, 10)
        with pytest.raises(PermissionError):
            section.map(0, 5000)
    with pytest.raises(ValueError, match="closed"):
        section.map()
    with pytest.raises(MemoryError):
        namedshm.create(name, 1 << 62)
    with pytest.raises(ValueError, match="backslash"):
        namedshm.create("a\\b", 10)
