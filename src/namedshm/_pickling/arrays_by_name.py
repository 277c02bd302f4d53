"""Arrays that are no NamedArray but in a section all the same travel by name between processes.

``numpy.frombuffer(view)``, ``numpy.ndarray(..., buffer=block.buf)``, ``numpy.asarray(named)``, a record array or a masked one over
either: these are NumPy's classes, which pickle their elements.  A worker would get a copy, and what it writes would be lost without
a word.  The picklers by which processes talk ask a method ``reducer_override`` first, if their class has one; it is given to them
here, and answers NotImplemented ("as ever") for everything that is no such array.  Pickling elsewhere (files, caches, other
machines) is NumPy's own.

The picklers are in modules that most programs never import and that cost much; so they are changed when, and if, they are imported.
"""

from __future__ import annotations

from .when_imported import when_imported

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

#: The classes whose pickles go to other processes of this machine and nowhere else.
_PICKLERS = {
    "multiprocessing.reduction": "ForkingPickler",
    "loky.backend.reduction": "_LokyPickler",
    "joblib.externals.loky.backend.reduction": "_LokyPickler",
}


def _teach(module: ModuleType) -> None:
    from .behind import is_shared  # with the picklers, not with this package: most programs need neither

    pickler = getattr(module, _PICKLERS[module.__name__])
    before = getattr(pickler, "reducer_override", None)

    def reducer_override(self: object, thing: object) -> Any:
        found = NotImplemented
        if is_shared(thing):
            from namedshm.arrays import reduced

            found = reduced(thing)
        return before(self, thing) if found is NotImplemented and before is not None else found

    pickler.reducer_override = reducer_override


for _name in _PICKLERS:
    when_imported(_name, _teach)
del _name
