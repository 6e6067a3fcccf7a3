#!/usr/bin/python3
"""Plants the faults of faults.py one by one, and fails when a test notices none of one: `make test-planted`.

What stands between a mistake and the users is `make test`; this is the test of that. Output is one line a fault, with what
caught it; the last line is for tests/run.sh.
"""

import argparse
import queue
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import variant  # noqa: E402
from faults import FAULTS  # noqa: E402

UNIT_CPU = 60      # seconds of the processor; a checked build takes its time
SIM_CPU = 120


def plant(fault):
    """The file's text with the fault in it."""
    text = (variant.REPO / fault.file).read_text()
    found = text.count(fault.old)
    if found != 1:
        raise variant.Broken(f"its old text stands {found} times in {fault.file}: change tests/mutate/faults.py with it")
    return text.replace(fault.old, fault.new)


def failed(code):
    """A test that failed has noticed; one that ran out of time has not."""
    return code not in (0, "timeout", -signal.SIGXCPU, -signal.SIGKILL)


def first_failure(text):
    """What went wrong first, from the output of a test (which ends there) or the simulation."""
    lines = [line.strip() for line in text.splitlines()]
    running = ""
    for i, line in enumerate(lines):
        running = line.split("]")[-1].strip() if line.startswith("[ RUN") else running
        if " went wrong" in line and i + 1 < len(lines):
            return " ".join(lines[i + 1].split())
    return running or (lines[0] if lines else "it ends without a word")


def catch(shop, fault):
    """Who noticed, or None."""
    mutant = shop.compile(fault.file, plant(fault))
    for test in fault.tests:
        code, out = variant.run([shop.link_unit(test, mutant)], UNIT_CPU, checked=shop.checks, keep=True)
        if failed(code):
            return f"test_{test}: {first_failure(out)}"
    if not fault.rows:
        return None
    program = shop.link_sim(fault.file, mutant)
    for row, seeds in fault.rows:
        code, out = variant.run([program, "--row", row, "--seeds", seeds, "--jobs", 1, "--show", 0], SIM_CPU, checked=shop.checks, keep=True)
        if failed(code):
            return f"sim, row {row}: {first_failure(out)}"
    return None


def sound(shop, faults):
    """What fails without any fault notices none: {what: why}."""
    wrong = {}
    for test in sorted({test for fault in faults for test in fault.tests}):
        code, out = variant.run([Path(shop.build) / "unit" / f"test_{test}"], UNIT_CPU, checked=shop.checks, keep=True)
        if code != 0:
            wrong[test] = first_failure(out)
    for row, seeds in sorted({(row, seeds) for fault in faults for row, seeds in fault.rows}):
        code, out = variant.run([Path(shop.build) / "sim", "--row", row, "--seeds", seeds, "--jobs", 1, "--show", 0], SIM_CPU, checked=shop.checks, keep=True)
        if code != 0:
            wrong[row] = first_failure(out)
    return wrong


def try_one(shops, fault):
    shop, began = shops.get(), time.monotonic()
    try:
        caught = catch(shop, fault)
        return caught, "NOBODY NOTICES" if caught is None else caught, time.monotonic() - began
    except variant.Broken as problem:
        return None, f"NOT BUILT: {problem}", time.monotonic() - began
    finally:
        shops.put(shop)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", help="the folder with the objects")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--name", default="", help="only those whose name contains it")
    args = parser.parse_args()
    faults = [f for f in FAULTS if args.name in f.name]
    shops = queue.SimpleQueue()
    for _ in range(args.jobs):
        shops.put(variant.Workshop(args.build))
    wrong = sound(variant.Workshop(args.build), faults)
    for what, why in wrong.items():
        print(f"  {what} fails without any fault: {why}")
    caught = 0
    with ThreadPoolExecutor(args.jobs) as pool:
        for fault, (good, text, seconds) in zip(faults, pool.map(lambda f: try_one(shops, f), faults)):
            caught += good is not None
            print(f"  {fault.name}: {text} ({seconds:.1f} s)", flush=True)
    missed = len(faults) - caught + len(wrong)
    print(f"{caught} caught, {missed} missed")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
