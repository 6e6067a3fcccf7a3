"""Builds l2lb with one file changed: that file is compiled, and what tests it is linked anew from the other objects of a build."""

import atexit
import resource
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
MEMORY = 2 << 30
HISTORIES = {"test_allocator_property": 200, "test_ownership_random": 20}   # SEEDS: a part of those that are random is enough for nearly all
# What is surely a mistake, but only a warning to the compiler: such a variant is none.
STRICT = ["-Werror=incompatible-pointer-types", "-Werror=int-conversion", "-Werror=discarded-qualifiers"]
CHECKED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
# A leak without a stack of its own is not reported at all.
CHECKED_ENV = {"ASAN_OPTIONS": "hard_rss_limit_mb=1000:exitcode=99:malloc_context_size=3:quarantine_size_mb=2", "UBSAN_OPTIONS": "print_stacktrace=0"}

# Unit test programs by file. What is missing here makes survivors of what they would have caught, and what is too much costs time.
TESTS = {
    "speaker/ownership.c": ["ownership_times", "ownership_rival", "ownership", "ownership_random"],
    "speaker/ownership_turn.c": ["ownership_times", "ownership_rival", "ownership", "ownership_random"],
    "speaker/ownership_rival.c": ["ownership_rival", "ownership_times", "ownership", "ownership_random"],
    "speaker/ownership_steps.c": ["ownership_times", "ownership_rival", "ownership", "ownership_random"],
    "speaker/election.c": ["election", "spread", "relocation", "saved_state"],
    "speaker/planned_move.c": ["planned_move"],
    "speaker/spread.c": ["spread", "election"],
    "speaker/misjudged.c": ["misjudged"],
    "speaker/holder_fate.c": ["holder_fate"],
    "speaker/wakefulness.c": ["wakefulness"],
    "speaker/intake.c": ["intake", "saved_state"],
    "speaker/allocator.c": ["allocator", "allocator_property", "allocator_sim", "strangers"],
    "speaker/allocation_choice.c": ["allocator", "allocator_property", "allocator_sim", "strangers"],
    "speaker/pool_ranges.c": ["pool_ranges"],
    "speaker/sharing.c": ["allocator", "allocator_property", "allocator_sim"],
    "speaker/kernel_suspects.c": ["strangers"],
    "speaker/put_aside.c": ["strangers"],
    "speaker/acquaintances.c": ["strangers"],
    "speaker/saved_state.c": ["saved_state"],
    "arp/liveness.c": ["liveness_times", "liveness", "filter"],
    "arp/liveness_round.c": ["liveness_times", "liveness", "filter"],
    "arp/liveness_receive.c": ["liveness_times", "liveness", "filter"],
    "arp/conflict.c": ["conflict"],
    "arp/census.c": ["census", "strangers"],
    "speaker/census_duty.c": ["census_duty"],
    "speaker/conflict_condition.c": ["conflict_condition"],
    "speaker/paced_write.c": ["paced_write"],
    "speaker/l2_status_plan.c": ["l2_status_plan"],
    "arp/announcer.c": ["announcer"],
    "arp/responder.c": ["responder", "filter"],
    "arp/directory.c": ["directory", "announcer"],
    "arp/due_queue.c": ["due_queue", "announcer"],
    "arp/rate_cap.c": ["rate_cap", "announcer"],
}
CORES = list(TESTS)


class Broken(Exception):
    """The variant cannot be built."""


def _ask_make(build):
    """Compiler, flags and objects as the Makefile has them."""
    choice = {"build-san": ["SAN=1"], "build-fuzz": ["FUZZ=1"]}.get(build, [])
    out = subprocess.run(["make", "-s", "--no-print-directory", f"BUILD={build}", *choice, "variant-flags"], cwd=REPO, check=True, capture_output=True, text=True).stdout
    return {name: shlex.split(rest) for name, _, rest in (line.partition(" ") for line in out.splitlines())}


class Workshop:
    """A folder of its own for the variants of one worker, gone with the process; the objects of `build` are only read."""

    def __init__(self, build):
        (REPO / "build-mutate").mkdir(exist_ok=True)
        self.build, self.folder = build, Path(tempfile.mkdtemp(dir=REPO / "build-mutate"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.flags = _ask_make(build)
        self.checks = "-fsanitize=" in " ".join(self.flags["ldflags"])
        self.archive = self.folder / "all.a"
        self._run(["ar", "rcsT", str(self.archive), *(str(REPO / o) for o in self.flags["objects"])])

    @staticmethod
    def _run(command):
        done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
        if done.returncode != 0:
            raise Broken(done.stderr[-2000:])

    def compile(self, file, text, checked=False, stem="variant"):
        """The object of `file` as if it had this text. No debug information: equal code makes equal objects."""
        source = self.folder / "variant.c"
        source.write_text(text)
        target = self.folder / (stem + (".checked.o" if checked else ".o"))
        more = CHECKED if checked else []
        self._run([*self.flags["cc"], *self.flags["cflags"], "-g0", "-O1", *STRICT, *more, "-c", "-o", str(target), str(source)])
        return target

    def link_unit(self, test, mutant, checked=False):
        """The one object comes before the archive, whose member of that name is then not wanted any more."""
        target = self.folder / f"test_{test}"
        more = CHECKED if checked else []
        self._run([*self.flags["cc"], *more, *self.flags["ldflags"], "-Wl,-S", "-o", str(target), f"{self.build}/tests/unit/test_{test}.o",
                   str(mutant), str(self.archive), *self.flags["ldlibs"], "-lcmocka"])
        return target

    def link_sim(self, file, mutant):
        target = self.folder / "sim"
        original = f"{self.build}/{file[:-2]}.o"
        objects = [str(mutant) if o == original else o for o in self.flags["simobjects"]]
        if str(mutant) not in objects:
            raise Broken(f"{file} is no part of the simulation")
        self._run([*self.flags["cc"], *self.flags["ldflags"], *self.flags["simwrap"], "-Wl,-S", "-o", str(target), *objects, *self.flags["ldlibs"]])
        return target


def _limits(cpu, memory):
    def set_limits():
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    return set_limits


def run(command, cpu, checked=False, keep=False):
    """Exit code and output; seconds of the processor, as the machine may be busy with other things. The
    first failure ends a unit test. Anything but 0: caught."""
    histories = HISTORIES.get(Path(str(command[0])).name, 1) // (10 if checked else 1)
    env = {"PATH": "/usr/bin:/bin", "CMOCKA_TEST_ABORT": "1", "SEEDS": str(histories), **(CHECKED_ENV if checked else {})}
    output = subprocess.PIPE if keep else subprocess.DEVNULL
    try:
        done = subprocess.run([str(c) for c in command], cwd=REPO, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT if keep else output,
                              timeout=cpu * 20, preexec_fn=_limits(cpu, not checked))
    except subprocess.TimeoutExpired:
        return "timeout", ""
    return done.returncode, (done.stdout or b"").decode(errors="replace")
