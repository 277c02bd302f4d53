"""What ``Record.edit()`` gives: the fields as attributes, to be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from namedshm.records import Record

__all__ = ["Draft", "no_field"]


class Draft:
    """The fields of a record as attributes, to be changed; what cannot be written is refused where it is assigned."""

    __slots__ = ("__dict__", "_cls")  # the dictionary has the fields and nothing else

    _cls: type[Record]

    def __init__(self, cls: type[Record], values: dict[str, Any]) -> None:
        object.__setattr__(self, "_cls", cls)
        vars(self).update(values)

    def __getattr__(self, name: str) -> Any:
        raise no_field(self._cls, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in vars(self):
            raise no_field(self._cls, name)
        self._cls._fields[name].pack(value)
        vars(self)[name] = value

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a field of a record cannot be deleted: {name!r}")

    def __repr__(self) -> str:
        return f"<draft of {self._cls.__name__}: {', '.join(f'{name}={value!r}' for name, value in vars(self).items())}>"


def no_field(cls: type[Record], name: str) -> AttributeError:
    return AttributeError(f"{cls.__name__} has no field {name!r}; it has {', '.join(cls._fields)}")
