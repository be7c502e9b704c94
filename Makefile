# fvdtool: one GNU Makefile. `make help` lists the targets.
VERSION := 1.0
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g
PREFIX ?= /usr/local
DESTDIR ?=
PKG_CONFIG ?= pkg-config
BASH := bash
Q := $(if $(V),,@)

# Switches: V=1 shows commands, WERROR=1 makes warnings errors, SAN=address,undefined
# instruments everything, TEST=glob picks tests, ROUNDS= and SEED= reach the random ones.
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Wshadow -Wvla -Wformat=2 \
	-Wundef -Wwrite-strings -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes \
	-DFVD_VERSION='"$(VERSION)"' -Ilib -pthread -MMD -MP $(CFLAGS) $(if $(WERROR),-Werror) \
	$(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(if $(SAN),-fsanitize=$(SAN))
SAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
HOOK_FLAGS := -DFVD_TEST_HOOKS -Itests

POPT_CFLAGS := $(shell $(PKG_CONFIG) --cflags popt 2>/dev/null)
POPT_LIBS := $(or $(shell $(PKG_CONFIG) --libs popt 2>/dev/null),-lpopt)
CMOCKA_CFLAGS := $(shell $(PKG_CONFIG) --cflags cmocka 2>/dev/null)
CMOCKA_LIBS := $(or $(shell $(PKG_CONFIG) --libs cmocka 2>/dev/null),-lcmocka)

LIB_SRC := $(wildcard lib/*/*.c)
CMD_SRC := $(wildcard cmd/*.c)
SUPPORT_SRC := $(wildcard tests/support/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
CRASH_SRC := $(wildcard tests/crash/test_*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
CMD_OBJ := $(CMD_SRC:%.c=$(BUILD)/%.o)
COMPLETIONS := completions/fvdtool.bash completions/_fvdtool completions/fvdtool.fish

# What apt-get installs for each of the targets that need more than a compiler.
BUILD_DEPS := pkg-config libpopt-dev
DEMO_DEPS := e2fsprogs
TEST_DEPS := bats libcmocka-dev zstd jq e2fsprogs mandoc zsh fish shellcheck
BENCH_DEPS := qemu-utils e2fsprogs time strace

all: $(BUILD)/fvdtool ## build the tool: $(BUILD)/fvdtool

$(BUILD)/fvdtool: $(CMD_OBJ) $(BUILD)/libfvd.a
	$(if $(V),,@echo "  LD      $@")
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(POPT_LIBS) -lm

$(BUILD)/libfvd.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BENCH_SRC:%.c=$(BUILD)/%): %: %.o $(BUILD)/libfvd.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^

$(CMD_OBJ): | have-popt

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALL_CFLAGS) $(POPT_CFLAGS) -c -o $@ $<

# The library again with the hooks that tests need: "test" optimised, "san" with
# AddressSanitizer and UBSan. Each tests/unit/test_*.c is a program of its own, linked
# with all of tests/support.
define variant
$(BUILD)/$(1)/libfvd.a: $(LIB_SRC:%.c=$(BUILD)/$(1)/%.o)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^

$(BUILD)/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  CC      $(1)/$$<")
	$$(Q)$$(CC) $$(ALL_CFLAGS) $$(HOOK_FLAGS) $$(CMOCKA_CFLAGS) $$(POPT_CFLAGS) $(2) -c -o $$@ $$<

$(UNIT_SRC:%.c=$(BUILD)/$(1)/%) $(CRASH_SRC:%.c=$(BUILD)/$(1)/%): $(BUILD)/$(1)/%: \
		$(BUILD)/$(1)/%.o $(SUPPORT_SRC:%.c=$(BUILD)/$(1)/%.o) $(BUILD)/$(1)/libfvd.a
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $(2) -o $$@ $$^ $$(CMOCKA_LIBS) -lm

$(BUILD)/$(1)/fvdtool: $(CMD_SRC:%.c=$(BUILD)/$(1)/%.o) $(BUILD)/$(1)/libfvd.a
	$$(Q)$$(CC) $$(ALL_LDFLAGS) $(2) -o $$@ $$^ $$(POPT_LIBS) -lm

$(UNIT_SRC:%.c=$(BUILD)/$(1)/%.o) $(CRASH_SRC:%.c=$(BUILD)/$(1)/%.o): | have-cmocka
$(CMD_SRC:%.c=$(BUILD)/$(1)/%.o): | have-popt
endef

$(eval $(call variant,test,))
$(eval $(call variant,san,$(SAN_FLAGS)))

UNIT_TESTS := $(UNIT_SRC:%.c=$(BUILD)/test/%)
# The crash explorer is too slow with sanitizers; what fails and what races is looked at with them.
SAN_TESTS := $(UNIT_SRC:%.c=$(BUILD)/san/%) $(BUILD)/san/tests/crash/test_faults \
	$(BUILD)/san/tests/crash/test_threads
CRASH_TESTS := $(CRASH_SRC:%.c=$(BUILD)/test/%)
BENCH_PROGRAMS := $(BENCH_SRC:%.c=$(BUILD)/%)
.SECONDARY:

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

have-popt:
	@$(PKG_CONFIG) --exists 'popt >= 1.18' 2>/dev/null || { \
	echo "popt 1.18 or later is missing: 'make deps', or apt-get install pkg-config libpopt-dev" >&2; exit 1; }

have-cmocka:
	@$(PKG_CONFIG) --exists 'cmocka >= 1.1.5' 2>/dev/null || { \
	echo "cmocka 1.1.5 or later is missing: 'make deps-test', or apt-get install libcmocka-dev" >&2; exit 1; }

deps: ## install what building needs (also deps-demo, deps-test, deps-bench)
	@$(BASH) tests/deps $(BUILD_DEPS)
deps-demo:
	@$(BASH) tests/deps $(BUILD_DEPS) $(DEMO_DEPS)
deps-test:
	@$(BASH) tests/deps $(BUILD_DEPS) $(TEST_DEPS)
deps-bench:
	@$(BASH) tests/deps $(BUILD_DEPS) $(BENCH_DEPS)

# A fresh make after the installation, so that pkg-config is asked again.
demo: deps-demo ## install what is missing, build, and do the main job on a real disk image
	@$(MAKE) --no-print-directory -j2 all
	@BUILD=$(abspath $(BUILD)) $(BASH) tests/demo.sh

bench: deps-bench ## compare with qemu-img and cp: lines of "name: ratio"
	@$(MAKE) --no-print-directory -j2 all $(BENCH_PROGRAMS)
	@BUILD=$(abspath $(BUILD)) $(BASH) tests/bench/run.sh

check: deps-test ## install the test tools, build, run every test
	@$(MAKE) --no-print-directory WERROR=1 -j2 programs
	@BUILD=$(BUILD) $(BASH) tests/run $(CRASH_TESTS) $(wildcard tests/cli/*.bats) \
		$(SAN_TESTS) $(UNIT_TESTS)

programs: all $(UNIT_TESTS) $(SAN_TESTS) $(CRASH_TESTS)

check-unit: $(UNIT_TESTS) ## the library's unit tests
	@BUILD=$(BUILD) $(BASH) tests/run $^
check-san: $(SAN_TESTS) $(BUILD)/san/fvdtool ## unit and command line tests with ASan and UBSan
	@BUILD=$(BUILD) FVDTOOL=$(BUILD)/san/fvdtool $(BASH) tests/run $(SAN_TESTS) \
		$(wildcard tests/cli/*.bats)
check-crash: $(CRASH_TESTS) ## crash, model and fault tests (ROUNDS=, SEED=)
	@BUILD=$(BUILD) $(BASH) tests/run $^
check-cli: all ## the command line's tests
	@BUILD=$(BUILD) $(BASH) tests/run $(filter-out %/docs.bats,$(wildcard tests/cli/*.bats))
check-docs: all ## manual, help and completions agree
	@BUILD=$(BUILD) $(BASH) tests/run tests/cli/docs.bats

lint: ## include directions, what lib/ must not do, shell scripts, the manual
	@$(BASH) tests/lint

completions: $(BUILD)/fvdtool ## write the shell completions again from the option tables
	$(Q)$(BASH) completions/gen.sh $(BUILD)/fvdtool completions

install: all ## install below PREFIX (default /usr/local), inside DESTDIR
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	install -m 755 $(BUILD)/fvdtool $(DESTDIR)$(PREFIX)/bin/fvdtool
	install -m 644 fvdtool.1 $(DESTDIR)$(PREFIX)/share/man/man1/fvdtool.1
	install -m 644 completions/fvdtool.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/fvdtool
	install -m 644 completions/_fvdtool \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fvdtool
	install -m 644 completions/fvdtool.fish \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fvdtool.fish

uninstall: ## remove what install has put there
	rm -f $(DESTDIR)$(PREFIX)/bin/fvdtool \
		$(DESTDIR)$(PREFIX)/share/man/man1/fvdtool.1 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/fvdtool \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_fvdtool \
		$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/fvdtool.fish

dist: ## a source archive of what is committed: $(BUILD)/fvdtool-VERSION.tar.gz
	@mkdir -p $(BUILD)
	git archive --prefix=fvdtool-$(VERSION)/ -o $(BUILD)/fvdtool-$(VERSION).tar.gz HEAD

clean: ## remove everything that was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1	\2/p' Makefile | \
		sed 's|$$(BUILD)|$(BUILD)|g' | expand -t 13

.PHONY: all have-popt have-cmocka deps deps-demo deps-test deps-bench demo bench check programs \
	check-unit check-san check-crash check-cli check-docs lint completions install uninstall \
	dist clean help
