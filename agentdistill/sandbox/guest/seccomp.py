"""The system calls an episode may make, and the fork gate.

A classic BPF program decides by number and, for six calls, by arguments held in registers, which the caller cannot
change after the check. One call, a plain `fork`, is sent to the host (user notification), which lets it continue or
refuses. The filter is an allow-list: what is not named fails with EPERM. It binds all descendants and cannot be undone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from . import syscalls

RET_KILL_PROCESS, RET_USER_NOTIF, RET_ALLOW, RET_ERRNO = 0x80000000, 0x7FC00000, 0x7FFF0000, 0x00050000
LOAD_WORD, JUMP_EQUAL, JUMP_AT_LEAST, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
NUMBER_OFFSET, ARCHITECTURE_OFFSET, ARGUMENTS_OFFSET = 0, 4, 16  # in struct seccomp_data
SET_MODE_FILTER, FLAG_NEW_LISTENER = 1, 1 << 3

X32_BIT = 0x40000000  # x86-64 numbers from here on mean another calling convention
FORK_FLAGS = 0x01200011  # what the fork() of glibc asks of clone: CHILD_SETTID, CHILD_CLEARTID, SIGCHLD
CLONE_THREAD = 0x00010000
MAP_SHARED = 0x01
FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030)  # duplicate, get and set flags; not F_SETOWN or F_SETSIG, which send signals
IOCTL_REQUESTS = (0x5421, 0x5450, 0x5451)  # FIONBIO, FIONCLEX, FIOCLEX

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def refuse(number: int) -> int:
    return RET_ERRNO | number


def program(machine: str) -> list[Instruction]:
    """Return the filter for `machine`, "x86_64" or "aarch64"."""
    numbers = syscalls.NUMBERS[machine]
    code: list[Instruction] = [
        (LOAD_WORD, 0, 0, ARCHITECTURE_OFFSET),
        (JUMP_EQUAL, 1, 0, syscalls.AUDIT_ARCHITECTURE[machine]),
        (RETURN, 0, 0, RET_KILL_PROCESS),
        (LOAD_WORD, 0, 0, NUMBER_OFFSET),
        (JUMP_AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, refuse(errno.ENOSYS)),
    ]
    for name, block in _conditional().items():
        code.append((JUMP_EQUAL, 0, len(block), numbers[name]))
        code.extend(block)
    for name in syscalls.PLAIN:
        if name in numbers:
            code.append((JUMP_EQUAL, 0, 1, numbers[name]))
            code.append((RETURN, 0, 0, RET_ALLOW))
    code.append((RETURN, 0, 0, refuse(errno.EPERM)))
    return code


def _conditional() -> dict[str, list[Instruction]]:
    return {
        "mmap": [  # shared memory would outlive a losing candidate
            (LOAD_WORD, 0, 0, _argument(3)),
            (JUMP_ANY_BIT, 0, 1, MAP_SHARED),
            (RETURN, 0, 0, refuse(errno.EPERM)),
            (RETURN, 0, 0, RET_ALLOW),
        ],
        "clone": [
            (LOAD_WORD, 0, 0, _argument(0)),
            (JUMP_EQUAL, 0, 1, FORK_FLAGS),
            (RETURN, 0, 0, RET_USER_NOTIF),
            (JUMP_ANY_BIT, 0, 1, CLONE_THREAD),
            (RETURN, 0, 0, refuse(errno.EAGAIN)),
            (RETURN, 0, 0, refuse(errno.EPERM)),
        ],
        # Its flags are in memory, where a filter cannot see them. The C library then falls back to clone.
        "clone3": [(RETURN, 0, 0, refuse(errno.ENOSYS))],
        "fcntl": _one_of(1, FCNTL_COMMANDS, errno.EPERM),
        "ioctl": _one_of(1, IOCTL_REQUESTS, errno.ENOTTY),
        "prlimit64": [  # reading one's own limits: pid 0 and no new value
            (LOAD_WORD, 0, 0, _argument(0)),
            (JUMP_EQUAL, 0, 5, 0),
            (LOAD_WORD, 0, 0, _argument(2)),
            (JUMP_EQUAL, 0, 3, 0),
            (LOAD_WORD, 0, 0, _argument(2) + 4),
            (JUMP_EQUAL, 0, 1, 0),
            (RETURN, 0, 0, RET_ALLOW),
            (RETURN, 0, 0, refuse(errno.EPERM)),
        ],
    }


def _argument(index: int) -> int:
    """Offset of the low half of an argument; both processors are little-endian."""
    return ARGUMENTS_OFFSET + 8 * index


def _one_of(index: int, values: Sequence[int], error: int) -> list[Instruction]:
    block: list[Instruction] = [(LOAD_WORD, 0, 0, _argument(index))]
    for value in values:
        block.append((JUMP_EQUAL, 0, 1, value))
        block.append((RETURN, 0, 0, RET_ALLOW))
    block.append((RETURN, 0, 0, refuse(error)))
    return block


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


class Filter:
    """The filter of this machine, made before the forks that it binds, so that none has to make its own."""

    def __init__(self) -> None:
        machine = os.uname().machine
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program(machine))
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._arguments = (
            ctypes.c_long(syscalls.NUMBERS[machine]["seccomp"]),
            ctypes.c_ulong(SET_MODE_FILTER),
            ctypes.c_ulong(FLAG_NEW_LISTENER),
            ctypes.byref(_Program(len(code) // 8, code)),
        )

    def confine(self) -> int:
        """Bind this process to the filter and return the notification descriptor, for the host. Raises OSError."""
        listener = self._syscall(*self._arguments)
        if listener < 0:
            error = ctypes.get_errno()
            raise OSError(error, f"seccomp: {os.strerror(error)}")
        return int(listener)
