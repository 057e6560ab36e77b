"""An HTTP server in this process that speaks the chat completions protocol and misbehaves on command."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

Body = dict[str, Any]
Fault = Callable[["FakeServer", Body, asyncio.StreamWriter], Awaitable[None]]


class FakeServer:
    """Answers "reply to <last message>" with `n` choices. Each of `faults` spoils one request, in order.

    `bodies` holds the requests as they came, `headers` and `keys` their headers, all and those of authorization;
    `connected` counts the connections.
    """

    def __init__(
        self,
        *,
        continues: bool = True,
        choices: int | None = None,
        finish: str = "stop",
        refuses: dict[str, str] | None = None,
    ) -> None:
        self.faults: deque[Fault] = deque()
        self.bodies: list[Body] = []
        self.headers: list[dict[str, str]] = []
        self.keys: list[str] = []
        self.connected = 0
        self._connections: set[asyncio.Task[object]] = set()
        self._continues = continues
        self._choices = choices
        self._finish = finish
        self._refuses = refuses or {}  # fields of a request, and what is said to them

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connected += 1
        try:
            while await reader.readline():
                headers = {}
                while (header := await reader.readline()).strip():
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))))
                self.bodies.append(body)
                self.headers.append(headers)
                self.keys.append(headers.get("authorization", ""))
                if self.faults:
                    await self.faults.popleft()(self, body, writer)
                elif refused := [said for name, said in self._refuses.items() if name in body]:
                    await refuse(400, refused[0])(self, body, writer)
                else:
                    await self.answer(writer, self.completion(body))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            self._connections.discard(task)
            writer.close()

    def completion(self, body: Body) -> Body:
        """A well-formed reply; its prompt tokens tell, as a real server's do, whether it continued the last message."""
        messages = body["messages"]
        continuing = self._continues and body.get("continue_final_message", False)
        number = min(body.get("n") or 1, self._choices or 1000)
        choices = [
            {
                "index": index,
                "finish_reason": self._finish,
                "message": {"role": "assistant", "content": f"reply {index} to {messages[-1]['content']}"},
            }
            for index in range(number)
        ]
        tokens = 10 * len(messages) + (0 if continuing else 5)
        usage = {"prompt_tokens": tokens, "completion_tokens": 7 * number, "total_tokens": tokens + 7 * number}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": choices,
            "usage": usage,
        }

    async def answer(
        self, writer: asyncio.StreamWriter, body: Body | bytes, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        writer.write(http(body, status, headers))
        await writer.drain()


def http(body: Body | bytes, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(content)}"]
    head += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


def refuse(status: int, message: str = "no", headers: dict[str, str] | None = None, **error: str) -> Fault:
    """Answer with an error in OpenAI's form."""

    async def fault(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
        await server.answer(writer, {"error": {"message": message, **error}}, status, headers)

    return fault


def garble(content: bytes) -> Fault:
    """Answer 200 with these bytes."""

    async def fault(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
        await server.answer(writer, content)

    return fault


def change(**fields: Any) -> Fault:
    """Answer well, but for these fields of the reply."""

    async def fault(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
        await server.answer(writer, {**server.completion(body), **fields})

    return fault


def crowd(size: int) -> Fault:
    """Answer once so many requests are here. One object of it spoils them all."""
    barrier = asyncio.Barrier(size)

    async def fault(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
        await barrier.wait()
        await server.answer(writer, server.completion(body))

    return fault


async def hang_up(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
    """Send half an answer and close the connection."""
    writer.write(http(server.completion(body))[:-20])
    await writer.drain()
    writer.close()


async def drip(server: FakeServer, body: Body, writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, for ever: no single read ever times out."""
    for byte in http(server.completion(body)):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)
