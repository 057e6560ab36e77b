"""One process of an episode: it holds a state, runs an action when told to, and forks candidates that do.

The root of an episode, a candidate and a kept winner are the same thing at different times: a process in `serve`.
A root is an episode's first candidate: it is forked by the zygote, which holds the state that all episodes begin with.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from .children import Children
from .interpreter import Interpreter
from .wire import Channel, ChannelClosed, frame

_fork = os.fork
_exit = os._exit


class ToolError(RuntimeError):
    """What the host says when a tool cannot answer."""

    __module__ = "builtins"  # the model sees the bare name


class Node:
    """Serves one channel. After a fork the child serves the channel it was given, and only that one."""

    def __init__(self, interpreter: Interpreter, message_bytes: int, descriptors: Descriptors) -> None:
        self.interpreter = interpreter
        self.message_bytes = message_bytes
        self.descriptors = descriptors
        self.functions: dict[str, Callable[..., Any]] = {"final_answer": self._final_answer}

    def offer(self, tools: Sequence[dict[str, Any]]) -> None:
        """Let the code call `tools`, which the host answers."""
        self.functions = {tool["name"]: self._stub(tool) for tool in tools} | self.functions

    def greet(self, channel: Channel, listener: int | None = None) -> None:
        """Speak on `channel` from now on, and pass along the descriptor `listener`, which is closed here."""
        self.channel = channel
        self.children = Children()
        channel.greet(listener)
        if listener is not None:
            os.close(listener)

    def serve(self) -> NoReturn:
        """Obey the host until it closes the channel."""
        try:
            while True:
                self.obey()
        except (ChannelClosed, OSError):
            pass
        finally:
            _exit(0)
        raise AssertionError

    def obey(self) -> None:
        """Do the next thing that the host asks for. Raises ChannelClosed or OSError when it is gone."""
        message, descriptor = self.channel.receive()
        if message["op"] == "fork":
            self._fork(message, descriptor)
        elif message["op"] == "run":
            self.channel.send(self.interpreter.run(message["code"], self.functions))
        elif message["op"] == "wait":
            self.channel.send({"id": message["id"], **self.children.ending(message["child"])})

    def _fork(self, message: dict[str, Any], descriptor: int | None) -> None:
        """Fork a candidate, which goes on in `serve`. If that fails, the host sees its channel close."""
        if descriptor is None:
            raise ChannelClosed
        self.children.reap()
        try:
            pid = _fork()
        except OSError:
            os.close(descriptor)
            return
        if pid:
            os.close(descriptor)
            self.children.add(message["id"], pid)
            return
        self.descriptors.neutralise(descriptor)
        self.greet(Channel(descriptor))

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
    """All descriptor numbers below `limit`."""

    def __init__(self, limit: int) -> None:
        self._numbers = range(limit)
        self._poll = select.poll()
        for descriptor in self._numbers:
            self._poll.register(descriptor, 0)

    def neutralise(self, keep: int) -> None:
        """Put /dev/null in the place of every inherited descriptor but `keep`.

        Pipes, sockets, file offsets and flags are shared across a fork, those of the standard streams as well: a losing
        candidate could speak to the winner through them. The numbers stay taken, so that a stale file object that is
        closed later closes nothing else.
        """
        null = os.open(os.devnull, os.O_RDWR)
        closed = {descriptor for descriptor, event in self._poll.poll(0) if event & select.POLLNVAL}
        for descriptor in self._numbers:
            if descriptor not in closed and descriptor not in (keep, null):
                os.dup2(null, descriptor, inheritable=False)
        os.close(null)
