"""Child processes and network namespaces: nothing outlives the test process."""

import atexit
import contextlib
import ctypes
import functools
import os
import random
import signal
import socket
import subprocess
import threading
import time

_PR_SET_PDEATHSIG = 1
_CLONE_NEWNET = 0x40000000
# Loaded here, not in the child: between fork and exec nothing may need a lock.
_libc = ctypes.CDLL(None, use_errno=True)


# What a node of its own would give to a process that hardly needs any: its share of a processor, whenever it wants it.
PROMPT = -10


def _begin(niceness):
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if niceness:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
            # Where the kernel shares out by sessions, it counts within one only; so it gets a session of its own, and that the same.
            os.setsid()
            group = os.open("/proc/self/autogroup", os.O_WRONLY)
            os.write(group, str(niceness).encode())
            os.close(group)


def spawn(argv, netns=None, niceness=0, **popen):
    """Popen in a namespace; the child is killed when this process dies.

    The kernel sends that signal when the *thread* ends which called spawn, so
    call it from the main thread.
    """
    if netns:
        argv = ["ip", "netns", "exec", netns, *argv]
    return subprocess.Popen(argv, preexec_fn=functools.partial(_begin, niceness), **popen)


def end(process, sig=signal.SIGKILL, timeout=10):
    """Signal a process if it still runs and reap it; returns its exit code."""
    if process.poll() is None:
        process.send_signal(sig)
        # A stopped process sees the signal only when it continues.
        process.send_signal(signal.SIGCONT)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def pause(process, timeout=5):
    """SIGSTOP, and wait until no thread runs any more: on a busy machine a thread may still answer for a moment."""
    process.send_signal(signal.SIGSTOP)
    until = time.monotonic() + timeout
    while not _stopped(process.pid):
        if time.monotonic() > until:
            raise TimeoutError(f"process {process.pid} does not stop")
        time.sleep(0.001)


def _stopped(pid):
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] not in "Tt":
                return False
    return True


_given = set()
_giving = threading.Lock()


def free_ports(count):
    """Ports of this machine's loopback that nobody listens on. Not from where the kernel takes those of connections: one of these
    is there again for who closes its listener and opens it anew. None is given twice: who has it may not have bound it yet, or just look
    for another one."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as limits:
        first = int(limits.read().split()[0])
    found = []
    with _giving:
        while len(found) < count:
            port = random.randrange(min(10000, first - 5000), first)
            if port in _given:
                continue
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                found.append(port)
                _given.add(port)
    return found


def pid_alive(pid):
    return os.path.exists(f"/proc/{pid}")


@contextlib.contextmanager
def inside(netns):
    """This thread in another network namespace; sockets made here stay there."""
    if not netns:
        yield
        return
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{netns}") as there:
        _setns(there)
        try:
            yield
        finally:
            _setns(home)


def _setns(handle):
    if _libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def close_at_exit(closeable):
    """closeable.close() also when the tests are interrupted or terminated.

    By default SIGTERM ends a process without any cleaning up, so here it is
    made the exception that Ctrl-C is. (pytest would take SystemExit for one
    failed test and go on.)
    """
    atexit.register(closeable.close)
    if (threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL):
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def forget_at_exit(closeable):
    """The counterpart of close_at_exit, for something closed already."""
    atexit.unregister(closeable.close)
