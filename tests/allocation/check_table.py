"""Is the table whole? Every rule of anchors.yaml is named by a case (or by a test elsewhere that exists), every case names
rules that exist, names are unique, and there are enough. With the reference at hand: every line of its section 2 is a rule."""

import collections
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from allocation import table  # noqa: E402

LEAST = 200
ROOT = table.FOLDER.parents[1]
REFERENCES = [ROOT.parent / "shared" / "reference" / "metallb-l2.md", ROOT / "reference" / "metallb-l2.md"]


def faults_of_cases(cases, anchors):
    for case in cases:
        if not case.proves:
            yield f"{case.id} proves nothing"
        for anchor in case.proves:
            if anchor not in anchors:
                yield f"{case.id} proves \"{anchor}\", which anchors.yaml does not have"
    for name, count in collections.Counter(case.name for case in cases).items():
        if count > 1:
            yield f"{count} cases are called \"{name}\""
    if len(cases) < LEAST:
        yield f"{len(cases)} cases, {LEAST} are the least"


def faults_of_anchors(cases, anchors):
    named = {anchor for case in cases for anchor in case.proves}
    for anchor, rule in anchors.items():
        elsewhere = rule.get("elsewhere")
        if anchor not in named and not elsewhere:
            yield f"no case proves \"{anchor}\" ({rule['rule']})"
        if elsewhere and not test_exists(*elsewhere.split("::")):
            yield f"\"{anchor}\" is proven by {elsewhere}, which does not exist"


def test_exists(file, function):
    return (ROOT / file).exists() and f"def {function}(" in (ROOT / file).read_text()


def faults_of_lines(anchors):
    """Lines of the reference's section 2 that say something and are no anchor's."""
    reference = next((file for file in REFERENCES if file.exists()), None)
    if not reference:
        return
    lines = reference.read_text().splitlines()
    start = lines.index("# 2. Controller and allocator") + 1
    end = next(at for at, line in enumerate(lines) if line.startswith("# 3."))
    have = {rule["line"] for rule in anchors.values()}
    for number in range(start + 1, end):
        line = lines[number - 1]
        says = line.strip() and not re.match(r"#|---|\|---|\| (key|reason) \|", line)
        if says and number not in have:
            yield f"line {number} of {reference.name} is no rule of anchors.yaml: {line[:80]}"


def faults():
    cases, anchors = table.load(), table.load_anchors()
    return [*faults_of_cases(cases, anchors), *faults_of_anchors(cases, anchors), *faults_of_lines(anchors)]


def main():
    found = faults()
    for fault in found:
        print(f"check_table: {fault}")
    if not found:
        print(f"{len(table.load())} cases prove {len(table.load_anchors())} rules")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
