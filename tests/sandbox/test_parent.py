"""Asking a process that forks: answers and questions stay in step, whatever else is in the channel."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentdistill.sandbox.channel import Channel, ChannelClosed, ChannelViolation
from agentdistill.sandbox.guest.wire import Channel as GuestChannel
from agentdistill.sandbox.parent import Parent


@pytest_asyncio.fixture
async def ends() -> AsyncIterator[tuple[Channel, GuestChannel]]:
    """The host's end and the forking process's."""
    channel, theirs = Channel.pair(1000)
    yield channel, GuestChannel(theirs.detach())
    channel.close()


async def received(guest: GuestChannel) -> tuple[dict[str, object], int | None]:
    return await asyncio.to_thread(guest.receive)


async def test_the_answer_to_a_question_that_was_given_up_is_not_taken_for_another(
    ends: tuple[Channel, GuestChannel],
) -> None:
    channel, guest = ends
    parent = Parent(channel, 1000)
    with pytest.raises(TimeoutError):
        await parent.ending(7, seconds=0.01)
    given_up, _ = await received(guest)
    asked = asyncio.create_task(parent.ending(8, seconds=10))
    question, _ = await received(guest)
    assert (given_up["child"], question["child"]) == (7, 8)
    guest.send({"id": given_up["id"], "status": 9})
    guest.send({"id": question["id"], "status": 11})
    assert (await asked)["status"] == 11


async def test_a_process_that_says_anything_but_the_answer_is_given_up(ends: tuple[Channel, GuestChannel]) -> None:
    channel, guest = ends
    for _ in range(100):
        guest.send({"status": 0})
    with pytest.raises(ChannelViolation):
        await Parent(channel, 1000).ending(1, seconds=10)


async def test_each_fork_is_permitted_and_its_child_greets_on_a_channel_of_its_own(
    ends: tuple[Channel, GuestChannel],
) -> None:
    channel, guest = ends
    permitted: list[int] = []
    parent = Parent(channel, 1000, lambda: permitted.append(len(permitted)))
    numbers = set()
    for count in (1, 2):
        forking = asyncio.create_task(parent.fork(tools=[]))
        request, descriptor = await received(guest)
        assert (request["op"], request["tools"]) == ("fork", [])
        assert descriptor is not None
        GuestChannel(descriptor).greet()
        child = await forking
        assert (child.number, child.process.pid, child.descriptor) == (request["id"], os.getpid(), None)
        child.channel.close()
        numbers.add(child.number)
        assert len(permitted) == count
    assert len(numbers) == 2


async def test_a_child_that_does_not_come_leaves_no_descriptor(ends: tuple[Channel, GuestChannel]) -> None:
    channel, guest = ends
    before = len(os.listdir("/proc/self/fd"))
    forking = asyncio.create_task(Parent(channel, 1000).fork())
    _, descriptor = await received(guest)
    assert descriptor is not None
    os.close(descriptor)
    with pytest.raises(ChannelClosed):
        await forking
    assert len(os.listdir("/proc/self/fd")) == before
