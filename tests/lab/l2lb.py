"""The program under test as a process: its log is read, its life is ours."""

import json
import os
import signal
import subprocess
from pathlib import Path

from lab import proc
from lab.kube import wait

_REPO = Path(__file__).resolve().parents[2]


def default_binary():
    return os.environ.get("L2LB") or str(_REPO / "build" / "l2lb")


def start(lab, name, args, env=None, log="l2lb.log", binary=None):
    """Starts l2lb at a lab member, or outside of any lab with lab=None.

    What it writes goes to the file `log`, after what is there already.
    """
    # A developer's own cluster must never be what a test talks to.
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    environment.update(env or {})
    argv = [str(binary or default_binary()), *map(str, args)]
    with open(log, "ab") as output:
        # Beside the API server, the other nodes and the other tests, all on one machine.
        options = {"env": environment, "stdin": subprocess.DEVNULL,
                   "stdout": output, "stderr": output, "niceness": proc.PROMPT}
        process = lab.exec(name, argv, **options) if lab else proc.spawn(argv, **options)
    return Running(process, log)


class Running:
    """A running l2lb."""

    def __init__(self, process, log):
        self.process = process
        self.log = Path(log)
        self._parsed, self._at = [], 0

    def text(self):
        return self.log.read_text(errors="replace")

    def logs(self):
        """The log's JSON lines as dicts; other lines (a sanitizer's) are left to text()."""
        with open(self.log, "rb") as log:
            log.seek(self._at)
            # What is half written is for the next time.
            fresh = log.read().rpartition(b"\n")
        self._at += len(fresh[0]) + len(fresh[1])
        for line in fresh[0].decode(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                self._parsed.append(entry)
        return list(self._parsed)

    def wait_log(self, timeout=30, skip=0, **fields):
        """The first log line with these fields, not looking at the first `skip` lines.

        To see only what comes next: skip=len(running.logs()).
        """
        def found():
            ended = self.process.poll()   # first: what it wrote until then is there
            for entry in self.logs()[skip:]:
                if all(key in entry and entry[key] == value for key, value in fields.items()):
                    return entry
            if ended is not None:
                raise RuntimeError(f"l2lb ended with {ended}")
            return None
        what = f"a log line with {fields}"
        try:
            return wait(found, timeout, what)
        except (AssertionError, RuntimeError) as error:
            raise AssertionError(f"no {what}: {error}\n{self._tail()}") from None

    def stop(self, timeout=20):
        """SIGTERM; the exit code. TimeoutExpired if it does not end in time."""
        return proc.end(self.process, signal.SIGTERM, timeout)

    def kill9(self):
        return proc.end(self.process, signal.SIGKILL)

    def pause(self):
        proc.pause(self.process)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def _tail(self):
        return "\n".join(self.text().splitlines()[-20:])
