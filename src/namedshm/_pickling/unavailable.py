"""What unpickling gives instead of a handle that cannot be opened.

Unpickling must not raise.  Where objects are received, in a worker's loop, in the thread that collects results, in a manager's
server, nobody expects that of it: ``multiprocessing.Pool`` takes an OSError for the end of its pipe and waits for ever, others
declare the whole pool broken.  So the error is kept here and raised where somebody uses the object: the task that does so fails
with it, and no other.
"""

from __future__ import annotations

from namedshm import errors
from namedshm._core import Refusing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, ParamSpec, TypeVar

    P = ParamSpec("P")
    T = TypeVar("T")
    _Facts = tuple[type[errors.NamedShmError], str, dict[str, Any]]

__all__ = ["Unavailable", "unpickling"]


class Unavailable(Refusing):
    """A handle that could not be opened when it was unpickled; its first use, of whatever kind, raises the error that came then.

    ``repr()`` says what is missing and why.  Pickling it again sends what had been pickled first: where that arrives it may be
    opened after all.
    """

    __slots__ = ("__weakref__", "_arguments", "_error", "_kind", "_restore", "_state")

    _kind: str
    _restore: Callable[..., object]
    _arguments: tuple[Any, ...]
    _error: _Facts
    _state: object

    def __init__(self, kind: str, restore: Callable[..., object], arguments: tuple[Any, ...], error: Exception) -> None:
        _put(self, "_kind", kind)
        _put(self, "_restore", restore)
        _put(self, "_arguments", arguments)
        _put(self, "_error", _facts(error))
        _put(self, "_state", None)

    def __getattribute__(self, name: str) -> Any:
        if name in _HARMLESS:
            return object.__getattribute__(self, name)
        raise _error_of(self)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise _error_of(self)

    def __delattr__(self, name: str) -> NoReturn:
        raise _error_of(self)

    def __repr__(self) -> str:
        cls, text, _ = _error_facts(self)
        return f"<unavailable {_get(self, '_kind')}: {cls.__name__}: {text}>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        state = _get(self, "_state")
        sent = _get(self, "_restore"), _get(self, "_arguments")
        return sent if state is None else (*sent, state)

    def __setstate__(self, state: object) -> None:
        _put(self, "_state", state)  # what a subclass's __reduce__ sent along

    __hash__ = None  # type: ignore[assignment]


_get, _put = object.__getattribute__, object.__setattr__

#: What does not use the object: whoever passes it on, prints or pickles it looks at these.
_HARMLESS = frozenset(("__class__", "__dict__", "__doc__", "__module__", "__reduce__", "__reduce_ex__", "__repr__", "__setstate__"))

#: What Python looks for in the type and not with getattr().
_OPERATIONS = (
    *("bool", "len", "iter", "next", "reversed", "contains", "getitem", "setitem", "delitem", "call", "fspath", "bytes"),
    *("enter", "exit", "await", "aiter", "anext", "aenter", "aexit"),
    *("eq", "ne", "lt", "le", "gt", "ge", "int", "float", "complex", "index", "round", "trunc", "floor", "ceil"),
    *("neg", "pos", "abs", "invert", "copy", "deepcopy"),
    *("array", "array_ufunc", "array_function", "arrow_c_schema", "arrow_c_stream", "arrow_c_array", "dlpack", "dlpack_device"),
)
_ARITHMETIC = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "divmod", "pow", "lshift", "rshift", "and", "xor", "or")


def _refuse(self: Unavailable, *arguments: object, **options: object) -> NoReturn:
    raise _error_of(self)


Unavailable._refuse = _refuse  # type: ignore[attr-defined]  # what its buffer protocol calls
for _name in (*_OPERATIONS, *_ARITHMETIC, *(f"r{name}" for name in _ARITHMETIC), *(f"i{name}" for name in _ARITHMETIC)):
    setattr(Unavailable, f"__{_name}__", _refuse)
del _name


def _facts(error: Exception) -> _Facts:
    """Class, text and the rest of an error of ours, without the traceback: it would keep what its frames refer to."""
    if not isinstance(error, errors.NamedShmError):
        return errors.NamedShmError, f"{type(error).__name__}: {error}", {}
    facts: Any = error.__reduce__()[1]
    return facts  # type: ignore[no-any-return]


def _error_facts(self: Unavailable) -> _Facts:
    found: _Facts = _get(self, "_error")
    return found


def _error_of(self: Unavailable) -> errors.NamedShmError:
    """A new one each time: threads may raise it at the same time."""
    cls, text, state = _error_facts(self)
    advice = ": keep a handle open until the receiver has opened it" if issubclass(cls, errors.NotFound) else ""
    return errors._rebuild(cls, f"{text} (found when the {_get(self, '_kind')} was unpickled{advice})", state)


def _class_name(cls: object = None, *_: object) -> str:
    return getattr(cls, "__name__", "object")


def unpickling(kind: str | None = None) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorates a function that unpickling calls: whatever it raises becomes an :class:`Unavailable`.

    Args:
        kind: what it gives, for messages; None: the function's first argument, a class, tells.
    """

    def decorate(restore: Callable[P, T]) -> Callable[P, T]:
        def call(*arguments: P.args, **options: P.kwargs) -> T:
            try:
                return restore(*arguments, **options)
            except Exception as error:
                return Unavailable(kind or _class_name(*arguments), call, arguments, error)  # type: ignore[return-value]  # as good as one, until it is used

        # functools.wraps() costs more than all of this module to import.  Pickling needs the name.
        call.__name__, call.__qualname__, call.__module__ = restore.__name__, restore.__qualname__, restore.__module__
        call.__doc__ = restore.__doc__
        return call

    return decorate
