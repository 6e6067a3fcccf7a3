#!/usr/bin/python3
"""Every fault of the table (tests/lab/faults.py), again and again, as a client sees it: `make bench-failover [RUNS=50] [ROW=name,name]`.

The home lab on a real API server, three nodes, one bridge; six nodes for the row with 500 addresses. A client asks for the address
500 times a second by broadcast ARP (200 where a row watches three addresses) and as often sends a UDP packet through its kernel's
neighbour table; on each node a program answers these with its node's name. Of each run:

  without an answer   the longest time in which each request stayed unanswered: from the last answered one before to the first
                      answered one after, by the clock of the client; 0 when none was unanswered
  traffic             the same for the packets
  two answers         from the first to the last request that two different MACs answered
  moves               how often packets reached another node than before

Each run has a new Service. Rows that last minutes run fewer times. A picture of each row's worst run (who answered when) is written
to build/bench/, and all figures as JSON. With METALLB=1 (see metallb.py) the same rows run with MetalLB in our place afterwards, and
failover-beside.svg shows both.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))
sys.path.insert(0, str(TESTS / "e2e"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import metallb  # noqa: E402
import svg  # noqa: E402
from cluster.cluster import RealCluster, build  # noqa: E402
from home import Home, ManyHome  # noqa: E402
from lab.faults import ROWS, Many, fill, play_many  # noqa: E402
from lab.netlab import NODES, HomeLab  # noqa: E402
from lab.stage import Stage, play  # noqa: E402

COLUMNS = (("without an answer", "arp_ms", "arp"), ("traffic", "traffic_ms", "traffic"), ("two answers", "doubles_ms", "doubles"))
# Rows that last minutes: one run for so many of the others.
RARE = {"api-away": 10, "loss": 10, "clients": 10}


@contextlib.contextmanager
def stage_for(kind, folder):
    with HomeLab() as lab:
        control = lab.members["k8s-control"]
        with RealCluster(folder, build(), control.ns, control.ip) as cluster:
            home = kind(cluster, lab, folder)
            home.ready()
            yield Stage(home)
            home.end()


def times(name, runs):
    return max(1, runs // RARE.get(name, 1))


def progress(who, row, i, runs):
    print(f"\r{who}: {row.name}: {i} of {runs}      ", end="" if i < runs else "\n", file=sys.stderr, flush=True)


def repeat(who, stage, name, runs):
    """So many times: the Outcome of each as it is known, or None."""
    for i in range(times(name, runs)):
        row = ROWS[name]()
        row.seconds = max(row.seconds, getattr(stage.home, "LASTS", 0))
        outcome = None
        try:
            outcome = play(stage, row)
        except AssertionError as error:   # a run that cannot be measured is one that failed, and is told
            print(f"\n{who}: {name}, run {i + 1}: {error}", file=sys.stderr)
            stage.mend()
        stage.clear()
        progress(who, row, i + 1, times(name, runs))
        yield outcome


def repeat_many(who, runs, folder):
    with ManyHome.made(folder, build()) as home:
        for i in range(runs):
            fill(home, Many.owners[0])
            outcome = play_many(home, Many())
            home.mended()
            progress(who, Many, i + 1, runs)
            yield outcome


def figures(outcomes, attribute):
    values = sorted(getattr(outcome, attribute) for outcome in outcomes)
    return values[len(values) // 2], values[min(int(len(values) * 0.9), len(values) - 1)], values[-1]


def bound_text(limit):
    return "-" if limit is None else "0" if limit == 0 else f"< {limit:g}"


def table(results):
    """{row: [Outcome or None]} as lines."""
    lines = [f"{'':44}" + "".join(f"{title + ' (ms)':^34}" for title, _, _ in COLUMNS) + f"{'moves':^14}{'lost':>8}",
             f"{'row':38}{'runs':>6}" + f"{'p50':>8}{'p90':>8}{'max':>8}{'bound':>9} " * len(COLUMNS) + f"{'max':>7}{'bound':>6} {'packets':>8}"]
    for name, every in results.items():
        outcomes = [outcome for outcome in every if outcome]
        row = outcomes[0].row if outcomes else ROWS.get(name, Many)
        line = f"{row.title[:37]:38}{len(every):6}"
        for _, attribute, bound in COLUMNS if outcomes else ():
            p50, p90, worst = figures(outcomes, attribute)
            line += f"{p50:8.0f}{p90:8.0f}{worst:8.0f}{bound_text(getattr(row.bound, bound)):>9} "
        if outcomes:
            limit = row.bound.moves
            line += f"{max(outcome.moves for outcome in outcomes):7}{'-' if limit is None else f'<= {limit}':>6} {sum(outcome.lost for outcome in outcomes):8}"
        lines.append(line)
        lines += [f"    {text}" for text in complaints(every)]
    return lines


def complaints(every):
    """What was worse than promised, and how often."""
    failed = sum(outcome is None for outcome in every)
    out = [f"{failed} runs could not be measured; standard error says why"] if failed else []
    texts = [text for outcome in every if outcome for text in outcome.excess()]
    seen = sum(bool(outcome.excess()) for outcome in every if outcome)
    if texts:
        out.append(f"{seen} of {len(every)} runs were worse than promised; for example: {texts[0][:160]}")
    return out


def beside(ours, theirs):
    """Both in one table, p50 / p90 / max."""
    lines = [f"{'':38}{'':9}{'runs':>5}" + "".join(f"{title:>25}" for title, _, _ in COLUMNS) + f"{'moves':>7}"]
    for name in theirs:
        for who, every in (("l2lb", ours[name]), ("MetalLB", theirs[name])):
            outcomes = [outcome for outcome in every if outcome]
            cells = (" / ".join(f"{value:.0f}" for value in figures(outcomes, attribute)) if outcomes else "-" for _, attribute, _ in COLUMNS)
            lines.append(f"{ROWS[name].title[:37] if who == 'l2lb' else '':38}{who:9}{len(outcomes):5}" + "".join(f"{cell:>25}" for cell in cells)
                         + f"{max((outcome.moves for outcome in outcomes), default=0):7}")
    return lines


def worst_of(outcomes):
    """(the run to draw, when its fault began); (None, 0) when none can be drawn."""
    worst = max((outcome for outcome in outcomes if outcome), key=lambda seen: (len(seen.excess()), seen.arp_ms, seen.traffic_ms), default=None)
    if not worst or not worst.lanes:
        return None, 0
    begun = worst.lanes[0][1][0][0]   # some rows have done something before anybody watched
    return worst, next((when for when, _ in worst.marks if when >= begun), begun)


def draw_beside(ours, theirs, nodes, folder, before=0.5, after=8):
    """Who answered ARP in the worst run of each row, both on one axis."""
    lanes = []
    for name, every in theirs.items():
        for who, outcomes in (("l2lb", ours[name]), ("MetalLB", every)):
            worst, zero = worst_of(outcomes)
            if worst:
                spans = [[max(first - zero, -before), min(last - zero, after), seen] for first, last, seen in worst.lanes[0][1]
                         if last - zero > -before and first - zero < after]
                lanes.append((f"{name}: {who}", spans))
    if lanes:
        title = "Who answered ARP for the address: the worst run of each fault"
        (folder / "failover-beside.svg").write_text(svg.timeline(title, lanes, [(0, "the fault")], 0, nodes))


def draw(who, name, outcomes, nodes, folder):
    """The worst run."""
    worst, zero = worst_of(outcomes)
    if not worst:
        return
    title = f"{who}: {worst.row.title}; the worst of {len(outcomes)} runs"
    (folder / f"failover-{who}-{name}.svg").write_text(svg.timeline(title, worst.lanes, worst.marks[:14], zero, nodes))


def save(who, results, folder):
    keep = ("arp_ms", "unanswered", "traffic_ms", "lost", "doubles_ms", "doubles", "moves", "settled_s", "shares")
    rows = {name: [{**{key: getattr(seen, key) for key in keep}, "excess": seen.excess()} if seen else None for seen in outcomes]
            for name, outcomes in results.items()}
    (folder / f"failover-{who}.json").write_text(json.dumps(rows, indent=1) + "\n")


def read_back(who, folders):
    """What save() wrote in these folders, all runs of each row: {row: [Outcome or None]}."""
    results = {}
    for folder in folders:
        file = folder / f"failover-{who}.json"
        for name, every in (json.loads(file.read_text()) if file.exists() else {}).items():
            kind = ROWS.get(name, Many)
            results.setdefault(name, []).extend(seen and SimpleNamespace(**{**seen, "row": kind, "excess": lambda found=seen["excess"]: found})
                                                for seen in every)
    return {name: results[name] for name in [*ROWS, Many.name] if name in results}


def keep(who, name, nodes, every, results, folder):
    """Each run is saved as it comes: a bench that is stopped has measured what it has."""
    results[name] = []
    for outcome in every:
        results[name].append(outcome)
        save(who, results, folder)
    draw(who, name, results[name], nodes, folder)


def measure(who, kind, names, runs, out):
    results = {}
    folder = Path(tempfile.mkdtemp(prefix="l2lb-bench-"))
    print(f"{who}: logs are in {folder}", file=sys.stderr)
    three = [name for name in names if name != Many.name]
    if three:
        with stage_for(kind, folder) as stage:
            for name in three:
                keep(who, name, stage.home.nodes, repeat(who, stage, name, runs), results, out)
    if Many.name in names:
        (folder / "many").mkdir()
        keep(who, Many.name, list(ManyHome.NODES), repeat_many(who, runs, folder / "many"), results, out)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--row", help="comma separated names: " + ", ".join([*ROWS, Many.name]))
    parser.add_argument("--out", type=Path, default=TESTS.parent / "build" / "bench")
    parser.add_argument("--report", nargs="+", type=Path, metavar="FOLDER", help="run nothing: one table of what was written to these folders before")
    options = parser.parse_args()
    if options.report:
        ours, theirs = (read_back(who, options.report) for who in ("l2lb", "MetalLB"))
        print("\n".join(table(ours)))
        if theirs:
            print("\nbeside MetalLB, p50 / p90 / max in ms:\n" + "\n".join(beside(ours, {name: theirs[name] for name in ours if name in theirs})))
        return
    names = options.row.split(",") if options.row else [*ROWS, Many.name]
    unknown = [name for name in names if name not in ROWS and name != Many.name]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {', '.join([*ROWS, Many.name])}")
    options.out.mkdir(parents=True, exist_ok=True)
    print(__doc__.split("\n\n", 1)[1])
    ours = measure("l2lb", Home, names, options.runs, options.out)
    print(f"\nl2lb, milliseconds over {options.runs} runs:")
    print("\n".join(table(ours)))
    if metallb.programs():
        theirs = measure("MetalLB", metallb.MetalLBHome, [name for name in names if name != Many.name and not ROWS[name].ours_only],
                         options.runs, options.out)
        draw_beside(ours, theirs, list(NODES), options.out)
        print("\nbeside MetalLB, p50 / p90 / max in ms:")
        print("\n".join(beside(ours, theirs)))
    else:
        print("\nMetalLB was not run: METALLB=1 builds and runs it.")
    print(f"pictures and raw figures: {options.out}")


if __name__ == "__main__":
    main()
