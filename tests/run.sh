#!/bin/bash
# Runs the tests, a part at a time, and ends with one line: N passed, N failed[, N skipped].
#   tests/run.sh BUILD unit|planted|sim|fuzz|table|standin|e2e|all       K=name chooses end-to-end tests; FUZZ_TIME=seconds a fuzzer
# `all` runs what only computes beside the end-to-end tests, which wait for half of their time.
# A skip must be named in tests/skips with the kernel feature it needs; any other skip counts as a failure when CI is set.
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=$1
PART=$2
PYTHON=${PYTHON:-/usr/bin/python3}
export L2LB=${L2LB:-$PWD/$BUILD/l2lb} APIPROBE=$PWD/$BUILD/apiprobe ALLOCSIM=$PWD/$BUILD/allocsim CONFIGCHECK=$PWD/$BUILD/configcheck
export PYTHONDONTWRITEBYTECODE=1
RESULTS=$BUILD/results
mkdir -p "$RESULTS"
passed=0 failed=0 skipped=0
times=""

seconds() { date +%s; }

note() {   # part, start, passed, failed
	times="$times$(printf '  %-10s %4d s   %d passed, %d failed' "$1" $(($(seconds) - $2)) "$3" "$4")"$'\n'
}

unit_one() {   # program; rc file: its exit code
	local out=$RESULTS/$(basename "$1")
	rm -f "$out.rc"
	CMOCKA_MESSAGE_OUTPUT=TAP timeout 600 "$1" >"$out.tap" 2>&1
	echo $? >"$out.rc"
}

# Some compute, most wait: as many at once as there are processors.
run_unit() {
	local start=$(seconds) ok=0 bad=0 program n m out code
	for program in "$BUILD"/unit/test_*; do
		[ -x "$program" ] || continue
		while [ "$(jobs -pr | wc -l)" -ge "$(nproc)" ]; do wait -n; done
		unit_one "$program" &
	done
	wait
	for program in "$BUILD"/unit/test_*; do
		[ -x "$program" ] || continue
		out=$RESULTS/$(basename "$program")
		# An abort or a sanitizer report ends the program: what it had not reported as ok is a failure.
		code=$(cat "$out.rc"); out=$out.tap
		n=$(grep -c '^ok ' "$out"); m=$(grep -c '^not ok ' "$out")
		[ "$code" != 0 ] && [ "$m" -eq 0 ] && m=1
		[ "$code" = 0 ] && [ "$n" -eq 0 ] && m=1
		printf '  %-28s %3d passed%s\n' "$(basename "$program")" "$n" "$([ "$m" -gt 0 ] && echo ", $m failed")"
		[ "$m" -gt 0 ] && grep -v '^ok ' "$out" | tail -40
		ok=$((ok + n)); bad=$((bad + m))
	done
	[ $((ok + bad)) -eq 0 ] && { echo "no unit tests were found"; bad=1; }
	passed=$((passed + ok)); failed=$((failed + bad))
	note unit "$start" "$ok" "$bad"
}

# Reads a JUnit file: prints "passed failed skipped seconds"; a skip that tests/skips does not name is a failure in CI.
count_junit() {
	"$PYTHON" - "$1" <<'PY'
import os, sys, xml.etree.ElementTree as tree
known = [line.split()[0] for line in open("tests/skips") if line.strip() and not line.startswith("#")]
passed = failed = skipped = 0
try:
    root = tree.parse(sys.argv[1]).getroot()
except (OSError, tree.ParseError):
    print(0, 1, 0, 0)
    sys.exit()
cases = root.iter("testcase")
for case in cases:
    name = case.get("name").split("[")[0]
    if case.find("failure") is not None or case.find("error") is not None:
        failed += 1
    elif case.find("skipped") is not None:
        if os.environ.get("CI") and name not in known:
            failed += 1
            print(f"skipped, but not named in tests/skips: {name}", file=sys.stderr)
        else:
            skipped += 1
    else:
        passed += 1
print(passed, failed, skipped, round(sum(float(suite.get("time", 0)) for suite in root.iter("testsuite"))))
PY
}

start_pytest() {   # part, arguments...
	local part=$1
	shift
	rm -f "$RESULTS/$part.xml"
	"$PYTHON" -m pytest -p no:cacheprovider -v -rs --tb=short --no-header --junitxml="$RESULTS/$part.xml" "$@"
}

finish_pytest() {   # part, exit code
	local ok bad skip took
	read -r ok bad skip took < <(count_junit "$RESULTS/$1.xml")
	[ -n "${took:-}" ] || { ok=0 bad=1 skip=0 took=0; }   # the results could not be read
	[ "$2" -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	passed=$((passed + ok)); failed=$((failed + bad)); skipped=$((skipped + skip))
	note "$1" "$(($(seconds) - took))" "$ok" "$bad"
}

run_pytest() {   # part, arguments...
	start_pytest "$@"
	finish_pytest "$1" $?
}

run_table() {   # many small cases: only what fails is shown
	run_pytest table -q tests/allocation
}

# One fuzzer: what it has found out is kept in build-fuzz/, the corpus in the tree is only read. rc file: its exit code.
fuzz_one() {   # program, seconds, seed
	local name=$(basename "$1")
	local found=build-fuzz/corpus/$name crashes=build-fuzz/crashes
	mkdir -p "$found" "$crashes"
	# -timeout: an input may stand still for as long as others have all processors.
	timeout $(($2 * 2 + 300)) "$1" -seed="$3" -max_total_time="$2" -timeout=60 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$crashes/$name-" "$found" "tests/fuzz/corpus/${name#fuzz_}" >"$RESULTS/$name.log" 2>&1
	echo $? >"$RESULTS/$name.rc"
}

run_fuzz() {
	local start=$(seconds) ok=0 bad=0 name program seed=${FUZZ_SEED:-$((RANDOM * 32768 + RANDOM + 1))} time=${FUZZ_TIME:-30}
	echo "fuzzers: $time s each, FUZZ_SEED=$seed"
	rm -f "$RESULTS"/fuzz_*
	for program in build-fuzz/fuzz_*; do
		fuzz_one "$program" "$time" "$seed" &
	done
	wait
	for program in tests/fuzz/fuzz_*.c; do   # not those that were built: none missing is one passed
		name=$(basename "$program" .c)
		if [ "$(cat "$RESULTS/$name.rc" 2>/dev/null)" = 0 ]; then
			ok=$((ok + 1))
			printf '  %-28s %s inputs\n' "$name" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$RESULTS/$name.log")"
		else
			bad=$((bad + 1))
			printf '  %-28s failed\n' "$name"
			grep -v '^#[0-9]*\s' "$RESULTS/$name.log" | tail -40
		fi
	done
	passed=$((passed + ok)); failed=$((failed + bad))
	note fuzz "$start" "$ok" "$bad"
}

# Whole nodes in simulated time: each schedule is a test, and those that fail are shown small. A bounded part of what `make sim`
# does; a checked build has time for fewer.
run_sim() {
	local start=$(seconds) ok=0 bad=0 seeds=${SIM_SEEDS:-10000} out=$RESULTS/sim.log code
	case $BUILD in *-san) seeds=${SIM_SEEDS:-1500} ;; esac
	timeout 900 "$BUILD/sim" --seeds "$seeds" --seconds "${SIM_TIME:-600}" --jobs "$(nproc)" >"$out" 2>&1
	code=$?
	ok=$(sed -n 's/^\([0-9]*\) schedules, .*/\1/p' "$out")
	bad=$(sed -n 's/^[0-9]* schedules, .* \([0-9]*\) went wrong$/\1/p' "$out")
	if [ -z "$ok" ] || [ "$ok" -eq 0 ] || { [ $code -ne 0 ] && [ "$bad" -eq 0 ]; }; then
		tail -40 "$out"
		ok=0 bad=1
	else
		cat "$out"
		if [ "$ok" -lt "$seeds" ]; then
			echo "only $ok of $seeds schedules in the time there was"
			ok=$((ok + 1)) bad=$((bad + 1))
		fi
		ok=$((ok - bad))
	fi
	passed=$((passed + ok)); failed=$((failed + bad))
	note sim "$start" "$ok" "$bad"
}

# Faults in the program that some test must notice: one it does not is a failure.
run_planted() {
	local start=$(seconds) ok=0 bad=0 out=$RESULTS/planted.log code
	timeout 1800 "$PYTHON" tests/mutate/planted.py "$BUILD" --jobs "$(nproc)" >"$out" 2>&1
	code=$?
	cat "$out"
	ok=$(sed -n 's/^\([0-9]*\) caught, .*/\1/p' "$out")
	bad=$(sed -n 's/^[0-9]* caught, \([0-9]*\) missed$/\1/p' "$out")
	[ -z "$ok" ] && ok=0 bad=1
	[ $code -ne 0 ] && [ "$bad" -eq 0 ] && bad=1
	passed=$((passed + ok)); failed=$((failed + bad))
	note planted "$start" "$ok" "$bad"
}

run_standin() {
	run_pytest standin tests/standin
}

# Parts one after the other, in the background and only with the time that nobody else wants: collect_beside tells what came of it.
start_beside() {   # part...
	rm -f "$RESULTS/beside.sum"
	beside_parts=$*
	(
		chrt --idle --pid 0 $BASHPID 2>/dev/null || renice -n 19 $BASHPID >/dev/null
		passed=0 failed=0 skipped=0 times=""
		for part in "$@"; do "run_$part"; done
		printf '%s\n' "$passed $failed $skipped" "$times" >"$RESULTS/beside.sum"
	) >"$RESULTS/beside.log" 2>&1 &
	beside=$!
}

collect_beside() {
	local ok=0 bad=1 skip=0
	[ -n "$beside" ] || return
	wait "$beside" || true
	cat "$RESULTS/beside.log"
	{ read -r ok bad skip; times=$times$(cat); times=$times$'\n'; } <"$RESULTS/beside.sum" || echo "$beside_parts: ended early"
	passed=$((passed + ok)); failed=$((failed + bad)); skipped=$((skipped + skip))
	beside=""
}

# The end-to-end tests in lanes, side by side. Each has a home network with an API server, or API servers alone.
lane_of() {   # file
	case $1 in
	*failover*) echo last ;;   # takeover times are measured when nothing else runs
	*contract*|*exec_plugin*|*crds*|*standalone*|*allocation_table*|*test_lab*|*sim_server*) echo api ;;
	*services*|*announce*|*metrics*|*verify*|*rights*|*storm*) echo home ;;
	*) echo lab ;;
	esac
}

run_e2e() {
	# Builds kube-apiserver and the rest on the first run (about six minutes), and says so while it does.
	CLUSTER_ASSETS=$(tests/cluster/build.sh) || { echo "the test cluster could not be built"; failed=$((failed + 1)); return; }
	export CLUSTER_ASSETS
	if [ -n "${K:-}" ]; then
		run_pytest e2e tests/e2e -k "$K"
		return
	fi
	local file lane code
	local -A files=() running=()
	for file in tests/e2e/test_*.py; do
		lane=$(lane_of "$file")
		files[$lane]="${files[$lane]:-} $file"
	done
	for lane in api home; do
		start_pytest "$lane" ${files[$lane]} >"$RESULTS/$lane.log" 2>&1 &
		running[$lane]=$!
	done
	run_pytest lab ${files[lab]}
	for lane in api home; do
		wait "${running[$lane]}"
		code=$?
		cat "$RESULTS/$lane.log"
		finish_pytest "$lane" "$code"
	done
	collect_beside
	run_pytest failover ${files[last]}
}

beside=""
case $PART in
unit) echo "unit tests"; run_unit ;;
planted) echo "planted faults"; run_planted ;;
sim) echo "simulation"; run_sim ;;
fuzz) run_fuzz ;;
table) run_table ;;
standin) run_standin ;;
e2e) run_e2e ;;
all)
	echo "unit tests"
	run_unit
	FUZZ_TIME=${FUZZ_TIME:-90}   # it gets what is left of the processors
	start_beside table standin planted fuzz sim
	run_e2e
	collect_beside   # it has been, unless the end-to-end tests could not begin
	;;
*) echo "usage: tests/run.sh BUILD unit|planted|sim|fuzz|table|standin|e2e|all" >&2; exit 2 ;;
esac

printf '\n%s' "$times"
if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
