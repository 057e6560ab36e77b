"""The first process inside: it imports what episodes need once, gives up its privileges, and forks episodes.

Started with its control socket as descriptor number `argv[1]`. Single-threaded. The model's code neither runs here nor
passes through. When the host is gone (the control socket reads end-of-file) it kills its whole process group, itself
included.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
import threading
from typing import Any, NoReturn

from . import hugepages, landlock, privileges, rlimits, seccomp
from .children import Children
from .interpreter import Interpreter
from .node import Descriptors, Node
from .seeds import seed_everything
from .wire import Channel, ChannelClosed

WARM_UPS = 20  # CPython 3.11 specialises code that has run 8 times


def main() -> NoReturn:
    """Read the specification, confine this process, say that it is ready, serve."""
    control = Channel(int(sys.argv[1]))
    spec, _ = control.receive()
    for stage in (preload, warm_up, confine):
        try:
            stage(spec)
        except Exception as error:
            control.send({"error": f"{type(error).__name__}: {error}", "stage": stage.__name__})
            os._exit(1)
    root = Root(spec)
    share()
    control.send({"ready": True})
    try:
        serve(control, root)
    except (ChannelClosed, OSError):
        pass
    finally:
        with contextlib.suppress(OSError):
            os.kill(0, signal.SIGKILL)  # the group; as pid 1 of a namespace exiting does the same
        os._exit(0)
    raise AssertionError


def serve(control: Channel, root: Root) -> None:
    """Obey the host until it is gone. Raises ChannelClosed or OSError then."""
    children = Children()
    while True:
        request, descriptor = control.receive()
        if request["op"] == "wait":
            control.send({"id": request["id"], **children.ending(request["child"])})
        elif descriptor is not None:
            children.reap()
            with contextlib.suppress(OSError):  # no memory, no pids: the host sees the channel close
                pid = os.fork()
                if pid == 0:
                    control.socket.close()
                    root.start(Channel(descriptor), request["tools"])
                children.add(request["id"], pid)
            os.close(descriptor)


def preload(spec: dict[str, Any]) -> None:
    for name in spec["preload"]:
        importlib.import_module(name)
        if threading.active_count() != 1 or not privileges.single_threaded():
            raise RuntimeError(f"{name} starts a thread when imported; its locks would be forked and it would not")
    seed_everything()  # imports numpy.random, which would take each episode 20 ms and 10 MB
    sys.path.remove(spec["source"])  # the rest of the path stays, for what modules import lazily


def warm_up(spec: dict[str, Any]) -> None:
    """Do what every candidate does: CPython rewrites code as it runs and fills caches, and what is not done here each
    fork does for itself, in pages that it has to copy first."""
    interpreter = Interpreter(spec["allowed_imports"], spec["output_characters"], spec["notices"])
    node = Node(interpreter, spec["message_bytes"], Descriptors(0))
    for _ in range(WARM_UPS):
        host, guest = (Channel(end.detach()) for end in socket.socketpair())
        node.descriptors.neutralise(-1)
        node.offer([{"name": "tool", "parameters": ["argument"], "description": ""}])
        node.greet(guest)
        host.socket.recv(1)
        host.send({"op": "run", "code": "x = 1\nprint(tool(x))\nx"})
        host.send({"result": "", "error": None})  # of the tool: there is no other thread to answer
        node.obey()
        interpreter.final("")
        host.socket.close()
        guest.socket.close()


def confine(spec: dict[str, Any]) -> None:
    os.chdir("/")
    privileges.drop(spec["readable"])
    privileges.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if spec["landlock"]:
        landlock.restrict(spec["readable"])


class Root:
    """What the first candidates of every episode become: all that can be made before they are forked."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self._limits = spec["rlimits"]
        self._filter = seccomp.Filter() if spec["seccomp"] else None
        interpreter = Interpreter(spec["allowed_imports"], spec["output_characters"], spec["notices"])
        self._node = Node(interpreter, spec["message_bytes"], Descriptors(rlimits.most_descriptors(self._limits)))

    def start(self, channel: Channel, tools: list[dict[str, Any]]) -> NoReturn:
        """Confine this process and go on as the root of an episode, which is told on `channel` what to run first."""
        try:
            self._node.descriptors.neutralise(channel.socket.fileno())
            rlimits.apply(self._limits)
            self._node.offer(tools)
            self._node.greet(channel, self._filter.confine() if self._filter else None)
            self._node.serve()
        finally:
            os._exit(1)


def share() -> None:
    """Put what is there now where forks share it best."""
    gc.collect()
    hugepages.collapse()
    gc.freeze()
