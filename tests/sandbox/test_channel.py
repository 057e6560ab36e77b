"""What the host makes of the first byte on a channel, which a process that it does not trust has sent."""

from __future__ import annotations

import array
import os
import socket

import pytest

from agentdistill.sandbox.channel import Channel, ChannelClosed, ChannelViolation
from agentdistill.sandbox.guest.wire import HELLO


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def send(theirs: socket.socket, data: bytes, descriptors: int) -> None:
    with theirs:
        numbers = array.array("i", [theirs.fileno()] * descriptors)
        theirs.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers)] if descriptors else [])


async def test_a_greeting_tells_the_pid_and_hands_over_a_descriptor() -> None:
    channel, theirs = Channel.pair(1000)
    send(theirs, HELLO, 1)
    pid, descriptor = await channel.greeting(1)
    assert pid == os.getpid()
    assert descriptor is not None
    os.close(descriptor)
    channel.close()


@pytest.mark.parametrize(("data", "descriptors"), [(HELLO, 2), (HELLO, 9), (b"x", 0), (b"x", 1)])
async def test_another_beginning_is_refused_and_leaves_no_descriptor(data: bytes, descriptors: int) -> None:
    before = open_descriptors()
    channel, theirs = Channel.pair(1000)
    send(theirs, data, descriptors)
    with pytest.raises(ChannelViolation):
        await channel.greeting(1)
    channel.close()
    assert open_descriptors() == before


async def test_the_end_instead_of_a_greeting_is_the_end() -> None:
    channel, theirs = Channel.pair(1000)
    theirs.close()
    with pytest.raises(ChannelClosed):
        await channel.greeting(1)
    channel.close()
