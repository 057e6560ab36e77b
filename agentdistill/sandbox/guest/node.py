"""One process of an episode: it holds a state, runs an action when told to, and forks candidates that do.

The root of an episode, a candidate and a kept winner are the same thing at different times: a process in `serve`.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import select
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .interpreter import Interpreter
from .wire import Channel, ChannelClosed, frame

FIRST_DESCRIPTOR = 3

_fork = os.fork
_exit = os._exit


class ToolError(RuntimeError):
    """What the host says when a tool cannot answer."""

    __module__ = "builtins"  # the model sees the bare name


class Node:
    """Serves one channel. After a fork the child serves the channel it was given, and only that one."""

    def __init__(self, channel: Channel, interpreter: Interpreter, tools: Sequence[dict[str, Any]], limit: int) -> None:
        self.channel = channel
        self.interpreter = interpreter
        self.message_bytes = limit
        self.descriptors = Descriptors()
        self.functions: dict[str, Callable[..., Any]] = {tool["name"]: self._stub(tool) for tool in tools}
        self.functions["final_answer"] = self._final_answer
        self.children: dict[int, int] = {}  # by the number of the request that made them
        self.endings: dict[int, tuple[int, float]] = {}

    def serve(self) -> NoReturn:
        """Obey the host until it closes the channel."""
        try:
            while True:
                message, descriptor = self.channel.receive()
                if message["op"] == "fork":
                    self._fork(message, descriptor)
                elif message["op"] == "wait":
                    self._reap()
                    status, seconds = self.endings.get(self.children.get(message["child"], 0), (None, None))
                    self.channel.send({"id": message["id"], "status": status, "cpu_seconds": seconds})
        except (ChannelClosed, OSError):
            pass
        finally:
            _exit(0)
        raise AssertionError

    def _fork(self, message: dict[str, Any], descriptor: int | None) -> None:
        """Fork a candidate that runs the code of `message`. If that fails, the host sees its channel close."""
        self._reap()
        if descriptor is None:
            raise ChannelClosed
        try:
            pid = _fork()
        except OSError:
            os.close(descriptor)
            return
        if pid:
            os.close(descriptor)
            self.children[message["id"]] = pid
            return
        self.descriptors.neutralise(descriptor)
        self.channel = Channel(descriptor)
        self.children, self.endings = {}, {}
        self.channel.greet()
        self.channel.send(self.interpreter.run(message["code"], self.functions))

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if not pid:
                    break
                self.endings[pid] = (status, usage.ru_utime + usage.ru_stime)

    def _final_answer(self, answer: Any) -> NoReturn:
        """Give the final answer. The code ends here."""
        report = self.interpreter.final(answer)
        # Recorded on the call, and the call never returns: no `except:` or `finally:` of the code can undo it.
        self.interpreter.settle()
        self.channel.send(report)
        self.serve()

    def _stub(self, tool: dict[str, Any]) -> Callable[..., Any]:
        name, parameters = tool["name"], tuple(tool["parameters"])
        signature = f"{name}({', '.join(parameters)})"

        def call(*positional: Any, **named: Any) -> str:
            if len(positional) > len(parameters):
                raise TypeError(f"{signature} takes {len(parameters)} arguments but {len(positional)} were given")
            arguments = dict(zip(parameters, positional, strict=False))
            for key, value in named.items():
                if key not in parameters or key in arguments:
                    raise TypeError(f"{signature} got an unexpected or repeated argument {key!r}")
                arguments[key] = value
            missing = [key for key in parameters if key not in arguments]
            if missing:
                raise TypeError(f"{signature} is missing the argument {missing[0]!r}")
            try:
                data = frame({"op": "call", "name": name, "arguments": arguments})
            except (TypeError, ValueError, RecursionError) as error:
                raise TypeError(f"{signature}: arguments must be strings, numbers, lists or dicts: {error}") from None
            if len(data) > self.message_bytes:
                raise ValueError(f"{signature}: arguments of {len(data)} bytes; at most {self.message_bytes} are sent")
            self.channel.send_frame(data)
            reply, _ = self.channel.receive()
            if reply.get("error") is not None:
                raise ToolError(reply["error"])
            return str(reply["result"])

        call.__name__ = call.__qualname__ = name
        call.__doc__ = tool["description"]
        return call


class Descriptors:
    """All descriptor numbers that this process may have, but the standard ones."""

    def __init__(self) -> None:
        self._poll = select.poll()
        for descriptor in range(FIRST_DESCRIPTOR, resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
            self._poll.register(descriptor, 0)

    def neutralise(self, keep: int) -> None:
        """Put /dev/null in the place of every inherited descriptor but `keep`.

        Pipes, sockets and file offsets are shared across a fork: a losing candidate could speak to the winner through
        them. The numbers stay taken, so that a stale file object that is closed later closes nothing else.
        """
        null = os.open(os.devnull, os.O_RDWR)
        closed = {descriptor for descriptor, event in self._poll.poll(0) if event & select.POLLNVAL}
        for descriptor in range(FIRST_DESCRIPTOR, resource.getrlimit(resource.RLIMIT_NOFILE)[0]):
            if descriptor not in closed and descriptor not in (keep, null):
                os.dup2(null, descriptor, inheritable=False)
        os.close(null)


def seed_everything() -> None:
    """Give every episode the same random numbers, so that its log can be replayed."""
    random.seed(0)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(0)
