"""Asking a process that forks: answers and questions stay in step, whatever else is in the channel."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentdistill.sandbox.channel import Channel, ChannelViolation
from agentdistill.sandbox.guest.wire import Channel as GuestChannel
from agentdistill.sandbox.parent import Parent


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[Channel, GuestChannel]]:
    """The host's end and the forking process's."""
    channel, theirs = Channel.pair(1000)
    yield channel, GuestChannel(theirs.detach())
    channel.close()


async def test_the_answer_to_a_question_that_was_given_up_is_not_taken_for_another(
    ends: tuple[Channel, GuestChannel],
) -> None:
    channel, guest = ends
    parent = Parent(channel)
    with pytest.raises(TimeoutError):
        await parent.ending(7, seconds=0.01)
    given_up, _ = guest.receive()
    asked = asyncio.create_task(parent.ending(8, seconds=10))
    await asyncio.sleep(0)
    question, _ = guest.receive()
    assert (given_up["child"], question["child"]) == (7, 8)
    guest.send({"id": given_up["id"], "status": 9})
    guest.send({"id": question["id"], "status": 11})
    assert (await asked)["status"] == 11


async def test_a_process_that_says_anything_but_the_answer_is_given_up(ends: tuple[Channel, GuestChannel]) -> None:
    channel, guest = ends
    for _ in range(100):
        guest.send({"status": 0})
    with pytest.raises(ChannelViolation):
        await Parent(channel).ending(1, seconds=10)


async def test_each_fork_is_permitted_and_numbered_and_its_socket_handed_over(
    ends: tuple[Channel, GuestChannel],
) -> None:
    channel, guest = ends
    permitted: list[int] = []
    parent = Parent(channel, lambda: permitted.append(len(permitted)))
    for count in (1, 2):
        ours, theirs = socket.socketpair()
        number = await parent.fork(theirs, {"code": "1"})
        assert theirs.fileno() == -1
        request, descriptor = guest.receive()
        assert request == {"op": "fork", "id": number, "code": "1"}
        assert descriptor is not None
        with ours, socket.socket(fileno=descriptor) as child:
            child.send(b"!")
            assert ours.recv(1) == b"!"
        assert len(permitted) == count
