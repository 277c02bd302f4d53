"""Descriptions of compiled methods, in Python: signature, annotations and docstring stand where people look for them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    F = TypeVar("F", bound=Callable[..., object])

__all__ = ["describing"]


def describing(method: Any, module: str) -> Callable[[F], F]:
    """Decorates the description of a compiled method: the method itself, named, documented and annotated so.

    No Python frame is between the caller and C: the body says what the method does, and is never run.

    Args:
        module: the one that gives it out.
    """

    def describe(written: F) -> F:
        method.__module__, method.__name__, method.__qualname__ = module, written.__name__, written.__qualname__
        method.__doc__, method.__annotations__ = written.__doc__, written.__annotations__
        return method  # type: ignore[no-any-return]  # as good as what it is described by

    return describe
