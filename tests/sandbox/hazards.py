"""What code might try. Each attempt is a statement that raises OSError (or dies) when the cage holds."""

from __future__ import annotations

import os
import platform

# name -> (x86-64, aarch64); None where the processor lacks the call
CALLS: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None), "vfork": (58, None), "clone": (56, 220), "clone3": (435, 435), "execve": (59, 221),
    "execveat": (322, 281), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "chroot": (161, 51), "pivot_root": (155, 41), "fsopen": (430, 430), "open_tree": (428, 428),
    "move_mount": (429, 429), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272),
    "io_uring_setup": (425, 425), "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "add_key": (248, 217), "keyctl": (250, 219), "request_key": (249, 218), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186), "semget": (64, 190),
    "mq_open": (240, 180), "inotify_init1": (294, 26), "fanotify_init": (300, 262), "timerfd_create": (283, 85),
    "signalfd4": (289, 74), "eventfd2": (290, 19), "epoll_create1": (291, 20), "pipe2": (293, 59),
    "personality": (135, 92), "init_module": (175, 105), "kexec_load": (246, 104), "reboot": (169, 142),
    "swapon": (167, 224), "settimeofday": (164, 170), "clock_settime": (227, 112), "sethostname": (170, 161),
    "quotactl": (179, 60), "acct": (163, 89), "syslog": (103, 116), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "setuid": (105, 146), "setgid": (106, 144), "setgroups": (116, 159),
    "capset": (126, 91), "prctl": (157, 167), "seccomp": (317, 277), "landlock_create_ruleset": (444, 444),
    "landlock_restrict_self": (446, 446), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "ioprio_set": (251, 30), "mlockall": (151, 230), "setsid": (112, 157),
    "setpgid": (109, 154), "prlimit64": (302, 261), "setrlimit": (160, 164), "mmap": (9, 222), "socket": (41, 198),
    "socketpair": (53, 199), "ioctl": (16, 29), "fcntl": (72, 25), "mbind": (237, 235), "move_pages": (279, 239),
    "vmsplice": (278, 75), "splice": (275, 76), "copy_file_range": (326, 285), "fallocate": (285, 47),
    "modify_ldt": (154, None), "iopl": (172, None), "ioperm": (173, None), "arch_prctl": (158, None),
    "uselib": (134, None), "x32_getpid": (0x40000000 + 39, None), "unknown": (9999, 9999),
}  # fmt: skip
COLUMN = ("x86_64", "aarch64").index(platform.machine())
HERE = {name: numbers[COLUMN] for name, numbers in CALLS.items() if numbers[COLUMN] is not None}

PRELUDE = f"""
import ctypes, io, mmap, multiprocessing, os, resource, signal, socket, stat, struct, subprocess, sys, threading, time
HOST = {os.getpid()}
NUMBERS = {HERE!r}
open = io.open
libc = ctypes.CDLL(None, use_errno=True)

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result

def raw(name, *arguments):
    widened = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(libc.syscall(ctypes.c_long(NUMBERS[name]), *widened))

def forked(pid):
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "refused")

def channel():
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                return number
        except OSError:
            pass

def frame(body):
    return struct.pack(">I", len(body)) + body

kept = [1, 2, 3]
"""

FORK = 0x01200011  # the flags of a plain fork, which alone reach the fork gate

DENIED: dict[str, str] = {
    # reading
    "read /etc/passwd": "open('/etc/passwd').read()",
    "read /etc/shadow": "open('/etc/shadow').read()",
    "read /etc/hostname": "open('/etc/hostname').read()",
    "list /": "os.listdir('/')",
    "list /root": "os.listdir('/root')",
    "list /home": "os.listdir('/home')",
    "list /tmp": "os.listdir('/tmp')",
    "read own environ": "open('/proc/self/environ').read()",
    "read own memory": "open('/proc/self/mem', 'rb')",
    "list own descriptors": "os.listdir('/proc/self/fd')",
    "read the host's environ": "open(f'/proc/{HOST}/environ').read()",
    "read the host's command line": "open(f'/proc/{HOST}/cmdline').read()",
    "read pid 1's command line": "open('/proc/1/cmdline').read()",
    "read the kernel's log": "open('/dev/kmsg').read()",
    "open a disk": "open('/dev/vda', 'rb')",
    "open physical memory": "open('/dev/mem', 'rb')",
    "open the terminal": "open('/dev/tty')",
    "open a pseudo-terminal": "os.openpty()",
    "open shared memory": "os.open('/dev/shm/x', os.O_RDWR | os.O_CREAT)",
    "read a path through a link": "open(os.readlink('/proc/self/cwd') + '/etc/passwd')",
    "read by ..": "open(os.path.dirname(os.__file__) + '/../../../../../../../../etc/passwd')",
    "read cgroups": "open('/sys/fs/cgroup/cgroup.procs').read()",
    # writing
    "write to /tmp": "open('/tmp/hazard', 'w')",
    "write to /var/tmp": "open('/var/tmp/hazard', 'w')",
    "write to the working directory": "open('hazard', 'w')",
    "write beside the standard library": "open(os.path.dirname(os.__file__) + '/hazard.py', 'w')",
    "overwrite the standard library": "open(os.__file__, 'r+')",
    "append to a package": "open(sys.modules['numpy'].__file__, 'a')",
    "make a directory": "os.mkdir('/tmp/hazard')",
    "remove a file": "os.unlink(os.__file__)",
    "rename a file": "os.rename(os.__file__, os.__file__ + '.old')",
    "make a symbolic link": "os.symlink('/etc/passwd', '/tmp/hazard')",
    "make a hard link": "os.link(os.__file__, '/tmp/hazard')",
    "change a mode": "os.chmod(os.__file__, 0o777)",
    "change an owner": "os.chown(os.__file__, os.getuid(), os.getgid())",
    "truncate a file": "os.truncate(os.__file__, 0)",
    "touch a file": "os.utime(os.__file__)",
    "make a fifo": "os.mkfifo('/tmp/hazard')",
    "make a device": "os.mknod('/tmp/hazard', stat.S_IFCHR | 0o666, os.makedev(1, 1))",
    "unnamed file": "os.open('/tmp', os.O_TMPFILE | os.O_RDWR)",
    "change the working directory": "os.chdir('/tmp')",
    # programs
    "system": "checked(-1 if os.system('true') else 0)",
    "popen": "os.popen('true').read()",
    "subprocess": "subprocess.run(['/bin/true'])",
    "subprocess by fork": "subprocess.run(['/bin/true'], preexec_fn=lambda: None)",
    "execv": "os.execv('/bin/true', ['true'])",
    "exec the interpreter": "os.execv(sys.executable, ['python', '-c', ''])",
    "posix_spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "raw execve": "raw('execve', b'/bin/true', None, None)",
    "raw execveat": "raw('execveat', -100, b'/bin/true', None, None, 0)",
    # processes and threads
    "os.fork": "forked(os.fork())",
    "libc fork": "forked(libc.fork())",
    "libc vfork": "forked(libc.vfork())",
    "raw clone": "forked(raw('clone', 17, 0, 0, 0, 0))",
    "raw clone as fork": f"forked(raw('clone', {FORK}, 0, 0, 0, 0))",
    "raw clone sharing memory": "forked(raw('clone', 0x100 | 17, 0, 0, 0, 0))",
    "raw clone with a namespace": "forked(raw('clone', 0x10000000 | 17, 0, 0, 0, 0))",
    "raw clone3": "forked(raw('clone3', ctypes.create_string_buffer(64), 64))",
    "forkpty": "forked(os.forkpty()[0])",
    "multiprocessing": "multiprocessing.Process(target=print).start()",
    "thread": """
try:
    threading.Thread(target=print).start()
except RuntimeError:
    raise OSError
""",
    # sockets
    "IPv4": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "IPv4 datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
    "Unix": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "Unix pair": "socket.socketpair()",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packet": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "kernel crypto": "socket.socket(38, socket.SOCK_SEQPACKET)",
    "DNS": "socket.getaddrinfo('example.com', 80)",
    "connect": "socket.create_connection(('127.0.0.1', 80), timeout=1)",
    # signals and other processes
    "signal the parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "signal the group": "os.killpg(0, signal.SIGKILL)",
    "signal everyone": "os.kill(-1, signal.SIGKILL)",
    "signal pid 1": "os.kill(1, signal.SIGKILL)",
    "signal the host": "os.kill(HOST, signal.SIGKILL)",
    "signal a thread of the host": "raw('tgkill', HOST, HOST, 9)",
    "tkill": "raw('tkill', HOST, 9)",
    "queue a signal": "raw('rt_sigqueueinfo', HOST, 9, ctypes.create_string_buffer(128))",
    "pidfd": "os.pidfd_open(os.getppid())",
    "pidfd signal": "raw('pidfd_send_signal', channel(), 9, None, 0)",
    "signal by descriptor owner": "raw('fcntl', channel(), 8, HOST)",
    "signal number of a descriptor": "raw('fcntl', channel(), 10, 9)",
    "owner by ioctl": "raw('ioctl', channel(), 0x8901, ctypes.byref(ctypes.c_int(HOST)))",
    "stop myself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "ptrace the host": "raw('ptrace', 16, HOST, 0, 0)",
    "be traced": "raw('ptrace', 0, 0, 0, 0)",
    "read the host's memory": "raw('process_vm_readv', HOST, 0, 0, 0, 0, 0)",
    "write the parent's memory": "raw('process_vm_writev', os.getppid(), 0, 0, 0, 0, 0)",
    "steal a descriptor": "raw('pidfd_getfd', channel(), 0, 0)",
    # gaining rights
    "raise the CPU limit": "resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))",
    "raise the memory limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "raise the file limit": "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))",
    "limits of another process": "resource.prlimit(os.getppid(), resource.RLIMIT_AS, (1 << 20, 1 << 20))",
    "become root": "os.setuid(0)",
    "become root for real": "os.setresuid(0, 0, 0)",
    "lower niceness": "os.setpriority(os.PRIO_PROCESS, 0, -10)",
    "new session": "os.setsid()",
    "new group": "os.setpgid(0, 0)",
    "dumpable": "raw('prctl', 4, 1, 0, 0, 0)",
    "subreaper": "raw('prctl', 36, 1, 0, 0, 0)",
    "ambient capability": "raw('prctl', 47, 2, 2, 0, 0)",
    "a new filter": "raw('seccomp', 1, 8, ctypes.create_string_buffer(16))",
    "chroot": "os.chroot('/')",
    # sharing
    "shared memory": "mmap.mmap(-1, 4096)",
    "shared memory, raw": "raw('mmap', 0, 4096, 3, 0x21, -1, 0)",
    "pipe": "os.pipe()",
    "memfd": "os.memfd_create('x')",
    **{
        f"raw {name}": f"raw({name!r}, 0, 0, 0, 0, 0, 0)"
        for name in HERE
        if name not in {"fork", "vfork", "clone", "clone3", "execve", "execveat", "prlimit64", "mmap", "ioctl", "fcntl"}
        and name not in {"kill", "tgkill", "tkill", "setpgid"}
    },
}
if COLUMN == 0:
    DENIED |= {"raw fork": "forked(raw('fork'))", "raw vfork": "forked(raw('vfork'))"}

# name -> code, the kinds of error of which one must be told
FAILING: dict[str, tuple[str, set[str]]] = {
    "segfault": ("ctypes.string_at(1)", {"killed"}),
    "abort": ("os.abort()", {"killed"}),
    "_exit": ("os._exit(3)", {"killed"}),
    "sys.exit": ("sys.exit(0)", {"exception"}),
    "exit": ("raise SystemExit", {"exception"}),
    "keyboard interrupt": ("raise KeyboardInterrupt", {"exception"}),
    "stack overflow in C": ("sys.setrecursionlimit(10**9)\ndef f(n): return sorted([n], key=f)\nf(0)", {"killed"}),
    "endless recursion": ("def f(n): return f(n)\nf(0)", {"exception"}),
    "memory by list": ("x = [0]\nwhile True: x = x + x", {"memory"}),
    "memory by bytes": ("x = bytearray(1 << 40)", {"memory"}),
    "memory by numpy": ("import numpy\nnumpy.ones(1 << 36)", {"memory"}),
    "memory in small pieces": ("x = []\nwhile True: x.append(' ' * 1_000_000)", {"memory"}),
    "descriptors": ("x = []\nwhile True: x.append(open(os.__file__))", {"exception"}),
    "hostile repr": ("class X:\n def __repr__(self): raise ValueError('no')\nX()", {"exception"}),
    "hostile error": ("class X(Exception):\n def __str__(self): raise ValueError('no')\nraise X", {"exception"}),
    "forks without end": (
        "while True:\n  try: os.fork()\n  except OSError: pass", {"forbidden"},
    ),
    "garbage on the channel": ("os.write(channel(), b'garbage' * 1000)\ntime.sleep(60)", {"protocol"}),
    "length of 4 GB": ("os.write(channel(), b'\\xff\\xff\\xff\\xff')\ntime.sleep(60)", {"protocol"}),
    "deep JSON": ("os.write(channel(), frame(b'[' * 200_000))\ntime.sleep(60)", {"protocol"}),
    "JSON that is no object": ("os.write(channel(), frame(b'3'))\ntime.sleep(60)", {"protocol"}),
    "number of many digits": ("os.write(channel(), frame(b'{\"ok\":' + b'9' * 100_000 + b'}'))\ntime.sleep(60)",
                              {"protocol"}),
    "bytes that are no text": ("os.write(channel(), frame(b'\\xff\\xfe'))\ntime.sleep(60)", {"protocol"}),
    "a report without a verdict": ("os.write(channel(), frame(b'{}'))\ntime.sleep(60)", {"protocol"}),
    "a report of wrong types": ("os.write(channel(), frame(b'{\"ok\": true, \"value\": [1]}'))\ntime.sleep(60)",
                                {"protocol"}),
    "a tool call without a name": ("os.write(channel(), frame(b'{\"op\": \"call\"}'))\ntime.sleep(60)", {"protocol"}),
    "tool calls without reading": (
        "while True: os.write(channel(), frame(b'{\"op\": \"call\", \"name\": \"x\", \"arguments\": {}}'))",
        {"protocol"},
    ),
    "closing the channel": ("os.close(channel())\ntime.sleep(60)", {"killed", "memory"}),
    "shutting the channel down": ("socket.socket(fileno=channel()).shutdown(2)\ntime.sleep(60)", {"killed", "memory"}),
}  # fmt: skip
if COLUMN == 0:
    FAILING["a 32-bit system call"] = (
        "page = libc.mmap\npage.restype = ctypes.c_void_p\n"
        "page.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]\n"
        "where = page(None, 4096, 7, 0x22, -1, 0)\n"
        "ctypes.memmove(where, b'\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3', 8)\n"  # mov eax, 20; int 0x80; ret
        "ctypes.CFUNCTYPE(ctypes.c_int)(where)()",
        {"killed"},
    )

# name -> code that only stops when it is stopped, the kinds
ENDLESS: dict[str, tuple[str, set[str]]] = {
    "loop": ("while True: pass", {"cpu", "wall"}),
    "sleep": ("time.sleep(1000)", {"wall"}),
    "signals ignored": (
        "signal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
        "while True: pass",
        {"cpu", "wall"},
    ),
    "signals blocked": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\nwhile True: pass",
        {"cpu", "wall"},
    ),
    "every exception swallowed": (
        "n = 0\nwhile True:\n  try:\n    while True: n += 1\n  except BaseException: n = 0",
        {"cpu", "wall"},
    ),
    "a time limit that is caught": ("try: time.sleep(1000)\nexcept BaseException: pass\n'gave up'", {"wall"}),
    "a limit that is caught": ("try:\n  while True: pass\nexcept BaseException: pass\n'gave up'", {"cpu", "wall"}),
    "a limit that is told otherwise": (
        "try:\n  while True: pass\nexcept BaseException: raise ValueError('tired')",
        {"cpu", "wall"},
    ),
    "a final answer after a limit": (
        "try:\n  while True: pass\nexcept BaseException: final_answer('gave up')",
        {"cpu", "wall"},
    ),
    "regular expression": ("import re\nre.match('(a+)+b', 'a' * 60)", {"cpu", "wall"}),
    "arithmetic in C": ("sum(range(10**15))", {"cpu", "wall"}),
    "recursion without a limit": (
        "sys.setrecursionlimit(10**9)\ndef f(n): return f(n)\nf(0)",
        {"memory", "cpu", "wall"},
    ),
    "drip of bytes": (
        "while True:\n  os.write(channel(), b'\\x00')\n  time.sleep(0.3)",
        {"wall", "protocol"},
    ),
    "hostile repr that hangs": ("class X:\n def __repr__(self):\n  while True: pass\nX()", {"cpu", "wall"}),
    "loop after the final answer was caught": ("try: 1/0\nexcept: time.sleep(1000)", {"wall"}),
}
