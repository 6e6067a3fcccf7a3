#!/usr/bin/python3
"""Breaks the pure cores in mechanical ways, one at a time, and counts how many of them a test notices: `make mutate`.

Each mutant is compiled alone; the unit tests of its file run first, then the same with its memory checked, then a part of the
simulation. Those that survive have to be in tests/mutate/survivors with the reason why nothing can notice them.
"""

import argparse
import queue
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import mutations  # noqa: E402
import variant  # noqa: E402

SURVIVORS = Path(__file__).resolve().parent / "survivors"
WANTED = 90          # percent
UNIT_CPU = 6         # seconds of the processor, several times what the longest takes
SIM_CPU = 120
# Rows of the simulation and how many schedules of each; None: as they come. The first are few, as most end there.
SCHEDULES = [(None, 40), (None, 120)]
OWNERSHIP = [("upgrade", 12), ("split", 20), ("killed", 4), ("one-way", 12), ("carrier", 20), ("claims", 20)]
ROWS = {
    "speaker/ownership.c": OWNERSHIP,
    "speaker/ownership_turn.c": OWNERSHIP,
    "speaker/ownership_rival.c": OWNERSHIP,
    "speaker/ownership_steps.c": OWNERSHIP,
    "speaker/planned_move.c": [],
    "speaker/saved_state.c": [("restart-no-api", 40)],
    "speaker/misjudged.c": [("one-way", 40)],
    "speaker/spread.c": [("claims", 40)],
    "speaker/election.c": [("claims", 30)],
    "speaker/allocator.c": [("services", 10)],
    "speaker/allocation_choice.c": [("services", 10)],
    "speaker/sharing.c": [("services", 10)],
    "arp/liveness.c": [("deaf-mute", 30), ("one-way-busy", 40), ("all-killed", 15), ("loss", 6), ("stopped", 20), ("chain", 20)],
    "arp/liveness_round.c": [("deaf-mute", 30), ("one-way-busy", 40), ("all-killed", 15), ("loss", 6), ("stopped", 20), ("chain", 20)],
    "arp/liveness_receive.c": [("deaf-mute", 30), ("one-way-busy", 40), ("all-killed", 15), ("loss", 6), ("stopped", 20), ("chain", 20)],
}
NOT_COUNTED = ("no C", "the same code")


def read_survivors():
    """{key: reason}: a line that says which, and indented ones that say why."""
    reasons, key = {}, None
    for line in SURVIVORS.read_text().splitlines():
        if line.startswith("\t"):
            reasons[key] = (reasons[key] + " " + line.strip()).strip()
        elif line.strip() and not line.startswith("#"):
            key = line.strip()
            reasons[key] = ""
    return reasons


def parts_of_simulation(file):
    """(row or None, first seed, seeds)"""
    start = 1
    for row, seeds in SCHEDULES + ROWS.get(file, []):
        yield row, start if row is None else 1, seeds
        start += seeds if row is None else 0


def wrong_in_simulation(program, row, start, seeds):
    """How many schedules went wrong; None: it did not come to its end."""
    command = [program, "--seeds", seeds, "--start", start, "--jobs", 1, "--show", 0, *(["--row", row] if row else [])]
    _, out = variant.run(command, SIM_CPU, keep=True)
    found = re.search(r"(\d+) went wrong$", out, re.MULTILINE)
    return int(found[1]) if found else None


class Judge:
    """What notices a mutant. A test that fails, or a schedule that goes wrong, without any mutant says nothing: each is tried
    without one when it is needed first."""

    def __init__(self, build, quick):
        self.build, self.quick = build, quick
        self.known, self.lock = {}, threading.Lock()

    def _without(self, what, find_out):
        with self.lock:
            if what not in self.known:
                self.known[what] = find_out()
            return self.known[what]

    def _sound(self, test):
        if self._without(test, lambda: variant.run([f"{self.build}/unit/test_{test}"], UNIT_CPU)[0]) != 0:
            raise SystemExit(f"test_{test} fails without a mutant")

    def unit(self, shop, file, mutant):
        for test in variant.TESTS[file]:
            self._sound(test)
            if variant.run([shop.link_unit(test, mutant)], UNIT_CPU)[0] != 0:
                return f"test_{test}"
        return None

    def checked(self, shop, file, text):
        """The same with its memory checked: what is lost, freed twice or read beyond its end."""
        mutant = shop.compile(file, text, checked=True)
        for test in variant.TESTS[file]:
            if variant.run([shop.link_unit(test, mutant, checked=True)], 3 * UNIT_CPU, checked=True)[0] != 0:
                return test
        return None

    def simulation(self, shop, file, mutant):
        program = shop.link_sim(file, mutant)
        for part in parts_of_simulation(file):
            before = self._without(part, lambda: wrong_in_simulation(f"{self.build}/sim", *part))
            if before is None:
                raise SystemExit("the simulation does not run without a mutant")
            wrong = wrong_in_simulation(program, *part)
            if wrong is None or wrong > before:
                return f"sim {part[0] or 'any'}"
        return None

    def judge(self, shop, core, mutation):
        """Who noticed; NOT_COUNTED: it is no mutant; None: it survives."""
        changed = mutation.apply(core.text)
        try:
            mutant = shop.compile(core.file, changed)
        except variant.Broken:
            return "no C"
        original = self._without(core.file, lambda: shop.compile(core.file, core.text, stem="original").read_bytes())
        if mutant.read_bytes() == original:
            return "the same code"
        caught = self.unit(shop, core.file, mutant)
        if caught:
            return caught
        caught = self.checked(shop, core.file, changed)
        if caught and self._without((core.file, "checked"), lambda: self.checked(shop, core.file, core.text)):
            raise SystemExit(f"test_{caught} finds something wrong with memory without a mutant in {core.file}")
        if caught:
            return f"test_{caught} (checked)"
        return None if self.quick else self.simulation(shop, core.file, mutant)


class Core:
    """A file, what is drawn from it, and what came out."""

    def __init__(self, file, seed):
        self.file = file
        self.text = (variant.REPO / file).read_text()
        self.all = mutations.in_drawn_order(mutations.mutations(file, self.text), seed)
        self.left = iter(self.all)
        self.count = self.killed = 0
        self.survivors = []


def share_out(cores, count):
    """By size, each at least a few; no more than there are."""
    total = sum(len(c.all) for c in cores)
    for c in cores:
        c.count = min(len(c.all), max(4, round(count * len(c.all) / total)))
    while sum(c.count for c in cores) < min(count, total):
        max((c for c in cores if c.count < len(c.all)), key=lambda c: len(c.all) / c.count).count += 1


class Run:
    def __init__(self, cores, shops, judge, verbose):
        self.cores, self.judge, self.verbose = cores, judge, verbose
        self.shops = queue.SimpleQueue()
        for shop in shops:
            self.shops.put(shop)
        self.total, self.done, self.began = sum(c.count for c in cores), 0, time.monotonic()

    def one(self, core):
        """Draws until there is one that counts."""
        shop = self.shops.get()
        try:
            for mutation in core.left:
                caught = self.judge.judge(shop, core, mutation)
                if caught not in NOT_COUNTED:
                    return core, mutation, caught
            return core, None, None
        finally:
            self.shops.put(shop)

    def note(self, core, mutation, caught):
        self.done += 1
        if mutation is None:   # there were not so many
            core.count -= 1
            return
        core.killed += caught is not None
        if not caught:
            core.survivors.append(mutation)
        if self.verbose or not caught:
            print(f"{'killed by ' + caught if caught else 'SURVIVES'}: {mutation.file}:{mutation.line_number}: {mutation.change} in: {mutation.line}", flush=True)

    def progress(self):
        spent = time.monotonic() - self.began
        left = spent / self.done * (self.total - self.done)
        killed = sum(c.killed for c in self.cores)
        end = "\r" if sys.stdout.isatty() else "\n"
        if end == "\r" or self.done % 20 == 0 or self.done == self.total:
            print(f"{self.done} of {self.total}, {killed} killed, {spent:.0f} s, about {left:.0f} s left  ", end=end, flush=True)

    def all(self, jobs):
        with ThreadPoolExecutor(jobs) as pool:
            for future in as_completed([pool.submit(self.one, c) for c in self.cores for _ in range(c.count)]):
                self.note(*future.result())
                self.progress()


def report(cores):
    """True: good enough."""
    reasons, unexplained = read_survivors(), 0
    print("\n  killed")
    for c in cores:
        print(f"  {c.killed:4} of {c.count:4}  {100 * c.killed / max(1, c.count):5.1f} %  {c.file}")
    for mutation in (m for c in cores for m in sorted(c.survivors, key=lambda m: m.at)):
        reason = reasons.get(mutation.key, "")
        unexplained += not reason
        print(f"\n{mutation.file}:{mutation.line_number}: {mutation.change}\n    {mutation.line}\n    {reason or 'NO REASON: a test is missing, or a line in tests/mutate/survivors: ' + mutation.key}")
    killed, count = sum(c.killed for c in cores), sum(c.count for c in cores)
    percent = 100 * killed / max(1, count)
    print(f"\n{killed} of {count} mutants were noticed ({percent:.1f} %), {WANTED} % are wanted; {count - killed} survive, {unexplained} of them without a reason")
    return percent >= WANTED and not unexplained


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", help="the folder with the objects")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--file", choices=variant.CORES)
    parser.add_argument("--verbose", action="store_true", help="also those that were killed, and by what")
    parser.add_argument("--quick", action="store_true", help="without the simulation: what survives may still be caught by it")
    args = parser.parse_args()
    cores = [Core(f, args.seed) for f in ([args.file] if args.file else variant.CORES)]
    share_out(cores, args.count)
    shops = [variant.Workshop(args.build) for _ in range(args.jobs)]
    print(f"{sum(c.count for c in cores)} of {sum(len(c.all) for c in cores)} possible mutants in {len(cores)} files, seed {args.seed}", flush=True)
    Run(cores, shops, Judge(args.build, args.quick), args.verbose).all(args.jobs)
    sys.exit(0 if report(cores) else 1)


if __name__ == "__main__":
    main()
