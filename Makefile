# A thin front to meson and the scripts. Every target does its own set-up, on a fresh Debian 12 too.

BUILD := build
PYTEST := /usr/bin/python3 -m pytest -p no:cacheprovider
# System tests mostly wait: several files at a time. Each runs as a whole, in namespaces of its own.
JOBS := 5
PYTEST_SYSTEM := $(PYTEST) -n $(JOBS) --dist loadfile
# Files of which sanitizers see nothing that others do not show them: what the kernel forwards between nodes, the
# benchmark's own tools, and a browser and another language's library as callers.
NOT_SANITIZED := bench_report clock flow_offload_nodes grpc_js load page_browser
FUZZ_SECONDS := 60
CHAOS_SECONDS := 600
# Decides what happens; without it each run has another one, and says which.
CHAOS_SEED :=
HUGE_PAGES := 256

SANITIZERS := ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1:strict_string_checks=1 \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:exitcode=99 \
	LSAN_OPTIONS=suppressions=$(CURDIR)/tests/sanitize.supp:print_suppressions=0

.PHONY: all demo test test-unit test-system test-sanitize lab bench bench-service chaos lint fuzz coverage deb test-deb arm64 \
	reference format clean

all: $(BUILD)/build.ninja
	ninja -C $(BUILD) sluiced sluice

# meson runs only where the directory is new; ninja calls it again when a meson.build changes.
$(BUILD)/build.ninja:
	scripts/install-packages build
	meson setup $(BUILD)

demo: all
	scripts/install-packages test
	scripts/hugepages $(HUGE_PAGES)
	scripts/demo $(BUILD)

test: all
	scripts/install-packages build test
	scripts/hugepages $(HUGE_PAGES)
	ninja -C $(BUILD)
	meson test -C $(BUILD) --print-errorlogs
	SLUICE_BUILD=$(CURDIR)/$(BUILD) $(PYTEST_SYSTEM) tests/system

test-unit: all
	meson test -C $(BUILD) --print-errorlogs

test-system: all
	ninja -C $(BUILD)
	SLUICE_BUILD=$(CURDIR)/$(BUILD) $(PYTEST_SYSTEM) tests/system

test-sanitize:
	scripts/install-packages build test
	[ -f build-sanitize/build.ninja ] || \
		meson setup build-sanitize -Db_sanitize=address,undefined -Doptimization=1 -Db_lundef=false
	ninja -C build-sanitize
	$(SANITIZERS) meson test -C build-sanitize --print-errorlogs --timeout-multiplier 4
	$(SANITIZERS) SLUICE_BUILD=$(CURDIR)/build-sanitize $(PYTEST_SYSTEM) tests/system \
		$(NOT_SANITIZED:%=--ignore=tests/system/test_%.py)

# Everything that happens to a node in years, in ten minutes, under traffic.
chaos: all
	scripts/install-packages build test
	SLUICE_BUILD=$(CURDIR)/$(BUILD) /usr/bin/python3 tests/chaos/run.py --seconds $(CHAOS_SECONDS) \
		$(CHAOS_SEED:%=--seed %)

# Guests under QEMU, without KVM: some minutes on two cores.
lab: all
	scripts/install-packages build test lab
	SLUICE_BUILD=$(CURDIR)/$(BUILD) $(PYTEST) tests/lab

bench: all
	scripts/install-packages bench
	/usr/bin/python3 bench/run.py
	/usr/bin/python3 bench/control.py
	/usr/bin/python3 bench/summary.py --write

# What servicing a node costs its connections: some minutes.
bench-service: all
	scripts/install-packages bench
	/usr/bin/python3 bench/service.py --write

lint:
	scripts/install-packages build lint
	scripts/lint

fuzz:
	scripts/install-packages build fuzz
	tests/fuzz/run.sh $(FUZZ_SECONDS)

coverage:
	scripts/install-packages build test coverage
	[ -f build-coverage/build.ninja ] || \
		meson setup build-coverage -Db_coverage=true -Doptimization=0 -Dc_args=-fprofile-update=atomic
	ninja -C build-coverage
	meson test -C build-coverage --print-errorlogs
	SLUICE_BUILD=$(CURDIR)/build-coverage $(PYTEST_SYSTEM) tests/system
	gcovr --root . --filter src --filter cli --exclude-unreachable-branches --gcov-ignore-parse-errors \
		--print-summary \
		--html-details build-coverage/coverage.html build-coverage

deb:
	scripts/install-packages build deb
	scripts/deb $(BUILD)/deb

# Installs and runs it in a small Debian, which is kept in $(BUILD)/debian.
test-deb: deb
	scripts/install-packages test-deb
	SLUICE_BUILD=$(CURDIR)/$(BUILD) $(PYTEST) tests/deb

# For arm64, with another machine's compiler; the unit tests run emulated.
arm64:
	scripts/install-packages build arm64
	scripts/arm64 build-arm64

# What is generated and committed: docs/reference, docs/man, packaging/config.
reference: $(BUILD)/build.ninja
	ninja -C $(BUILD) sluice-reference
	scripts/reference $(BUILD)

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf build build-*
