# l2lb: build, test, demo. `make help` lists the targets.
#   V=1 shows commands; SAN=1 builds with ASan and UBSan; CC=clang works too.
CC       ?= gcc
PYTHON   ?= /usr/bin/python3
PREFIX   ?= /usr/local
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo 0.1.0)
BUILD    := build$(if $(FUZZ),-fuzz,$(if $(SAN),-san))
LIBS     := libuv libcurl jansson libpcap yaml-0.1 libcrypto libmicrohttpd
WARN     := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 -Wwrite-strings
comma    := ,
SANFLAGS := $(if $(SAN)$(FUZZ),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -fno-omit-frame-pointer) $(if $(FUZZ),-fsanitize=fuzzer-no-link)
CFLAGS   ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DL2LB_VERSION='"$(VERSION)"' -I. $(WARN) $(CFLAGS) $(SANFLAGS) $(shell pkg-config --cflags $(LIBS))
LDLIBS   = $(shell pkg-config --libs $(LIBS))
Q        := $(if $(V),,@)

LIB_SRC  := $(filter-out speaker/main.c,$(wildcard config/*.c config/base/*.c k8sclient/*.c arp/*.c speaker/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
UNITS    := $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,build-fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
TOOLS    := $(patsubst tests/tools/%.c,$(BUILD)/%,$(wildcard tests/tools/*.c))
BENCH    := $(patsubst tests/bench/%.c,$(BUILD)/bench/%,$(wildcard tests/bench/*.c))
# The simulation is the program's own objects, but for those whose headers tests/sim/ implements on simulated time.
SIM_SEAM := config/base/clock config/base/deadline config/base/turn arp/link arp/links arp/kernel_arp k8sclient/api k8sclient/watcher speaker/state_file
SIM_REAL := $(filter-out $(SIM_SEAM:%=$(BUILD)/%.o),$(LIB_OBJ))
SIM_OBJ  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/*.c))
# What tests/sim/coverage.c and observer.c look at while it passes.
SIM_WRAP := ownership_step ownership_init liveness_take conflict_start conflict_stop conflict_heard conflict_identified conflict_step \
	    responder_set responder_guard ownership_claimed sha256
L2LB     ?= $(BUILD)/l2lb

.PHONY: all help deps demo demo-stop test sim test-sim test-unit test-table test-e2e test-standin test-planted mutate variant-flags bench-alloc bench-service bench-arp bench-failover fuzz tools install clean
all: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) tools
tools: $(BUILD)/l2lb $(TOOLS) $(BENCH)

help:
	@echo "make            build build/l2lb (installs the Debian packages it lacks)"
	@echo "make demo       show it working in a lab of network namespaces (KEEP=1 leaves the lab up)"
	@echo "make test       all tests; parts: make test-unit, make test-sim, make test-planted, make test-table, make test-standin, make test-e2e K=name; SAN=1 for ASan and UBSan"
	@echo "make sim        many faults in simulated time: SEEDS=10000 schedules, START, ROW=name, JOBS; build/sim --seed N --verbose replays one"
	@echo "make fuzz       fuzz the parsers of frames and netlink messages for TIME=600 seconds each (make test does it for 90, beside the rest)"
	@echo "make mutate     break the cores, N=300 ways one at a time, and see whether a test notices: SEED, FILE=speaker/ownership.c, JOBS=2"
	@echo "make bench-alloc  what allocation costs, on a real API server with 10,000 Services (N=1000 for fewer)"
	@echo "make bench-service  from a Service's creation to its first ARP answer and announcement, in the home lab; METALLB=1: MetalLB beside us"
	@echo "make bench-arp  answers per second and latency against the kernel and three other responders (QUICK=1: a minute)"
	@echo "make bench-failover  every fault RUNS=50 times as a client sees it, with pictures (ROW=dead,killed for some; hours for all; METALLB=1: MetalLB, too)"
	@echo "make install    install to PREFIX=$(PREFIX) (DESTDIR is honoured)"
	@echo "make clean      remove what was built"

deps:
	$(Q)tests/deps.sh

$(BUILD)/l2lb: $(BUILD)/speaker/main.o $(LIB_OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The simulated API server is a part of one tool only.
SIM_API  := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/sim/apiserver*.c))
$(BUILD)/simapi: $(SIM_API)
$(TOOLS): $(BUILD)/%: $(BUILD)/tests/tools/%.o $(LIB_OBJ)
	@echo "  LD    $@"
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(BENCH): $(BUILD)/bench/%: $(BUILD)/tests/bench/%.o
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ -lpcap

$(BUILD)/unit/%: $(BUILD)/tests/unit/%.o $(LIB_OBJ)
	@mkdir -p $(@D)
	@echo "  LD    $@"
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka

$(BUILD)/sim: $(SIM_OBJ) $(SIM_REAL)
	@echo "  LD    $@"
	$(Q)$(CC) $(SANFLAGS) $(LDFLAGS) $(SIM_WRAP:%=-Wl,--wrap=%) -o $@ $^ $(LDLIBS)

# What tests/mutate/ needs to compile one file and link it: its warnings are not errors.
variant-flags:
	$(info cc $(CC))
	$(info cflags $(filter-out -W%,$(ALL_CFLAGS)))
	$(info ldflags $(SANFLAGS) $(LDFLAGS))
	$(info ldlibs $(LDLIBS))
	$(info objects $(LIB_OBJ))
	$(info simobjects $(SIM_OBJ) $(SIM_REAL))
	$(info simwrap $(SIM_WRAP:%=-Wl,--wrap=%))
	@:

# The version is compiled in: what carries it is built anew when it changes.
$(BUILD)/version: FORCE
	@mkdir -p $(@D)
	@echo '$(VERSION)' | cmp -s - $@ || echo '$(VERSION)' > $@
FORCE:
$(BUILD)/speaker/main.o $(BUILD)/speaker/command_run.o $(BUILD)/speaker/monitoring.o: $(BUILD)/version

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

demo: all
	$(Q)L2LB=$(abspath $(L2LB)) $(PYTHON) tests/demo/demo.py $(if $(KEEP),--keep)

demo-stop:
	$(Q)$(PYTHON) tests/demo/demo.py --stop

test: all
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) unit-programs $(BUILD)/sim
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) fuzz-programs
	$(Q)tests/run.sh $(BUILD) all
test-unit: all
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) unit-programs
	$(Q)tests/run.sh $(BUILD) unit
sim: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/sim
	$(Q)$(BUILD)/sim --seeds $(or $(SEEDS),10000) --start $(or $(START),1) --jobs $(or $(JOBS),$$(nproc)) $(if $(ROW),--row $(ROW))
test-sim: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) $(BUILD)/sim
	$(Q)tests/run.sh $(BUILD) sim
test-planted: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) unit-programs $(BUILD)/sim
	$(Q)tests/run.sh $(BUILD) planted
# A mutant is compiled, linked and run alone: JOBS of them side by side.
mutate: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) unit-programs $(BUILD)/sim
	$(Q)$(PYTHON) tests/mutate/mutate.py $(BUILD) --count $(or $(N),300) --seed $(or $(SEED),1) --jobs $(or $(JOBS),2) $(if $(FILE),--file $(FILE))
test-table: all
	$(Q)tests/run.sh $(BUILD) table
test-standin: all
	$(Q)tests/run.sh $(BUILD) standin
test-e2e: all
	$(Q)K='$(K)' tests/run.sh $(BUILD) e2e

bench-service: all
	$(Q)L2LB=$(abspath $(L2LB)) METALLB=$(METALLB) $(PYTHON) tests/bench/service.py $(if $(N),--services $(N))
bench-alloc: all
	$(Q)$(PYTHON) tests/bench/alloc.py $(if $(N),--services $(N))

bench-arp: all
	$(Q)$(PYTHON) tests/bench/arp.py $(BUILD) $(if $(QUICK),--quick)

bench-failover: all
	$(Q)L2LB=$(abspath $(L2LB)) METALLB=$(METALLB) $(PYTHON) tests/bench/failover.py --out $(BUILD)/bench $(if $(RUNS),--runs $(RUNS)) $(if $(ROW),--row $(ROW))

.PHONY: unit-programs fuzz-programs
unit-programs: $(UNITS)

# libFuzzer sees what was compiled for it: objects of their own, by clang.
fuzz: deps
	$(Q)$(MAKE) --no-print-directory -j$$(nproc) fuzz-programs
	$(Q)FUZZ_TIME=$(or $(TIME),600) tests/run.sh build-fuzz fuzz
ifdef FUZZ
fuzz-programs: $(FUZZERS)
	@:
$(FUZZERS): build-fuzz/%: build-fuzz/tests/fuzz/%.o $(filter build-fuzz/config/% build-fuzz/arp/%,$(LIB_OBJ))
	@echo "  LD    $@"
	$(Q)$(CC) -fsanitize=fuzzer $(SANFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
else
fuzz-programs:
	$(Q)$(MAKE) --no-print-directory FUZZ=1 CC=clang fuzz-programs
endif

install: all
	install -D -m 0755 $(BUILD)/l2lb $(DESTDIR)$(PREFIX)/bin/l2lb
	install -D -m 0644 docs/l2lb.8 $(DESTDIR)$(PREFIX)/share/man/man8/l2lb.8
	install -D -m 0644 docs/l2lb.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/l2lb

clean:
	rm -rf build build-san build-fuzz build-mutate

.SECONDARY:
-include $(LIB_OBJ:.o=.d) $(BUILD)/speaker/main.d $(wildcard $(BUILD)/tests/*/*.d)
