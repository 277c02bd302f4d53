"""The one platform branch.  Everything above this package is the same on every system."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .contract import Backend

backend: Backend
SectionHandle: type  # of the backend; what it is is in the contract

if sys.platform == "win32":
    from .windows import native
    from .windows.backend import WindowsBackend
    from .windows.native import SPIN as SPIN
    from .windows.native import QueueHandle as QueueHandle
    from .windows.native import QueueLoan as QueueLoan
    from .windows.native import QueueMessage as QueueMessage
    from .windows.native import SyncHandle as SyncHandle
    from .windows.native import set_acquisitions as set_acquisitions
    from .windows.native import set_queue_classes as set_queue_classes

    if TYPE_CHECKING:  # topic.py says, when it is imported, that there are none here
        from .linux.native import TopicHandle as TopicHandle
        from .linux.native import TopicLoan as TopicLoan
        from .linux.native import TopicView as TopicView
        from .linux.native import set_topic_classes as set_topic_classes

    SectionHandle = native.SectionHandle
    backend = WindowsBackend()
elif sys.platform == "linux":
    from .linux import native
    from .linux.backend import LinuxBackend
    from .linux.native import SPIN as SPIN
    from .linux.native import QueueHandle as QueueHandle
    from .linux.native import QueueLoan as QueueLoan
    from .linux.native import QueueMessage as QueueMessage
    from .linux.native import SyncHandle as SyncHandle
    from .linux.native import TopicHandle as TopicHandle
    from .linux.native import TopicLoan as TopicLoan
    from .linux.native import TopicView as TopicView
    from .linux.native import set_acquisitions as set_acquisitions
    from .linux.native import set_queue_classes as set_queue_classes
    from .linux.native import set_topic_classes as set_topic_classes

    SectionHandle = native.Handle
    backend = LinuxBackend()
else:
    raise ImportError(f"namedshm has no backend for {sys.platform!r} yet: Linux and Windows are supported")
