# qwenmesh: `make` builds ./qwenmesh and libqwenmesh, `make install` copies them below PREFIX, `make check` runs all
# tests. See CONTRIBUTING.md.
CC      ?= gcc
BUILD   ?= build
OPT     ?= -O2 -g
# Named numbers are enumerators here, also those that doubles are multiplied by. WERROR: -Werror in `check` only, for a
# later compiler knows more warnings.
WARN    := -Wall -Wextra -Wshadow -Wconversion -Wno-enum-float-conversion
WERROR  :=
LIBPKGS := jansson libpcre2-8 libutf8proc libcurl libcrypto
PKGS    := $(LIBPKGS) libedit libmicrohttpd
ifneq ($(shell pkg-config --exists $(PKGS) 2>/dev/null || echo no),)
$(warning pkg-config does not find all of $(PKGS): dev/setup.sh build installs what is missing)
endif
# What the command line gives comes first, and does not take these away.
override CPPFLAGS += -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# No contraction: a fused multiply-add stands where the source says so, or the same bits would depend on the compiler.
override CFLAGS += -std=c11 $(OPT) $(WARN) $(WERROR) $(SANITIZE) -ffp-contract=off -fPIC -fvisibility=hidden -MMD -MP
LIBS    := $(shell pkg-config --libs $(LIBPKGS) 2>/dev/null) -lpthread -ldl -lm
override LDLIBS += $(shell pkg-config --libs libedit libmicrohttpd 2>/dev/null) $(LIBS)

SRC     := $(filter-out src/main.c src/cli/% src/serve/% %_mpi.c,$(wildcard src/*/*.c))
SERVE   := $(wildcard src/serve/*.c)
CLI     := src/main.c $(wildcard src/cli/*.c) $(SERVE)
# Files of one instruction set take most of the time to compile. SIMD_BUILD: the folder whose objects of them are used.
SIMD    := $(wildcard src/cpu/kernels_avx*.c)
SIMD_BUILD ?= $(BUILD)
OBJ     := $(patsubst %.c,$(BUILD)/%.o,$(filter-out $(SIMD),$(SRC))) $(SIMD:%.c=$(SIMD_BUILD)/%.o)
CLIOBJ  := $(CLI:%.c=$(BUILD)/%.o)
# The chat page, as C: made here, not kept.
PAGE    := $(BUILD)/src/serve/page_data
SERVEOBJ := $(SERVE:%.c=$(BUILD)/%.o) $(PAGE).o
CLIOBJ  += $(PAGE).o
TESTS   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
SCRIPTS := $(wildcard tests/test_*.sh)
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAM ?= qwenmesh
HELPERS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/http_server.c)) \
           $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/fake_*.c))

# Between processes: built where mpicc is, loaded only under mpirun.
MPICC   ?= $(shell command -v mpicc)
MPI     := $(if $(MPICC),$(dir $(PROGRAM))qwenmesh-mpi.so)

# The version is the header's; its first number is the shared library's.
VERSION := $(shell sed -n 's/^.define QM_VERSION "\(.*\)"/\1/p' src/qwenmesh.h)
SONAME  := libqwenmesh.so.$(firstword $(subst ., ,$(VERSION)))

all: $(PROGRAM) libqwenmesh.a $(SONAME) $(MPI)
$(PROGRAM): $(CLIOBJ) $(OBJ)
	$(CC) $(CFLAGS) -o $@ $(CLIOBJ) $(OBJ) $(LDFLAGS) $(LDLIBS)
	$(if $(filter-out ./,$(dir $@)),@ln -sfn $(CURDIR)/plugins $(dir $@)plugins)

$(MPI): src/base/transport_mpi.c src/base/transport_library.h Makefile
	$(MPICC) -D_GNU_SOURCE -std=c11 $(OPT) $(WARN) $(WERROR) -fvisibility=hidden -fPIC -shared -o $@ $<

# The library is one object whose hidden symbols are local: only qm_ names are seen outside.
libqwenmesh.a: $(OBJ)
	ld -r -o $(BUILD)/qwenmesh.o $(OBJ) && objcopy --localize-hidden $(BUILD)/qwenmesh.o
	rm -f $@ && ar rcs $@ $(BUILD)/qwenmesh.o

$(SONAME): $(OBJ) src/qwenmesh.map
	$(CC) $(CFLAGS) -shared -Wl,-soname,$@ -Wl,--version-script=src/qwenmesh.map -Wl,-z,defs -o $@ $(OBJ) $(LDFLAGS) $(LIBS)

# Instruction sets by file suffix: kernels_avx2.c is the only kind of file that may assume AVX2.
$(BUILD)/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$(BUILD)/%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
$(BUILD)/%_avx512vnni.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c
$(BUILD)/%_avx512bf16.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mf16c $(CLANG16)
# The optimiser of clang 16 runs out of stack over that file otherwise.
CLANG16 = $(if $(findstring clang version 16.,$(shell $(CC) --version)),-mllvm -disable-vector-combine)
$(BUILD)/src/cpu/kernels_%.o $(BUILD)/src/ops/pack.o $(BUILD)/src/io/dtype.o $(BUILD)/src/io/quant.o \
    $(BUILD)/src/infer/scores.o $(BUILD)/src/infer/sampling_filters.o: OPT += -O3
# Lines without variables for the debugger: these take half as long to compile.
$(BUILD)/src/cpu/kernels_%.o: OPT += -g1

# With checks around every access the unrolled kernels take minutes to compile. So a sanitizer looks at their addresses
# only, by calls, and as that is slow, in the tests of kernels only (checked/); the plain C template
# (tests/simd16_plain.h) and the drivers get all checks.
$(BUILD)/src/cpu/kernels_%.o: LAST = $(if $(SANITIZE),-O1 -fno-sanitize=undefined $(KERNEL_CHECKS))

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA) $(LAST) -c -o $@ $<

$(PAGE).c: $(wildcard src/serve/page/*)
	@mkdir -p $(@D)
	src/serve/page/embed.sh $(abspath $(BUILD)/page.html) $(abspath $@)
$(PAGE).o: $(PAGE).c src/serve/page_data.h Makefile
	$(CC) $(CPPFLAGS) $(CFLAGS) -Isrc/serve -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $< $(OBJ) $(LDFLAGS) $(LDLIBS) -lcmocka
	@ln -sfn $(CURDIR)/plugins $(@D)/plugins # plugins are found beside the program only

# The server belongs to the program, not to the library.
$(BUILD)/tests/test_serve%: $(BUILD)/tests/test_serve%.o $(SERVEOBJ) $(OBJ)
	$(CC) $(CFLAGS) -o $@ $< $(SERVEOBJ) $(OBJ) $(LDFLAGS) $(LDLIBS) -lcmocka

$(BUILD)/tests/strange_rank: tests/strange_rank.c Makefile
	@mkdir -p $(@D)
	$(MPICC) -D_GNU_SOURCE -std=c11 $(OPT) $(WARN) $(WERROR) -MMD -MP -o $@ $<

$(BUILD)/tests/%.so: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -o $@ $<

# The tests of kernels, with SIMD files that the sanitizer of this build looks into.
$(BUILD)/checked/%: $(BUILD)/tests/%.o $(filter-out $(SIMD_BUILD)/src/cpu/kernels_avx%,$(OBJ)) $(SIMD:%.c=$(BUILD)/%.o)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS) -lcmocka

tests: $(PROGRAM) $(MPI) $(TESTS) $(HELPERS) $(if $(MPICC),$(BUILD)/tests/strange_rank)

# ---- Checks. Sanitizer builds have a folder each; the warnings are the plain build's work. --------------------------
ASAN    := BUILD=build/asan PROGRAM=build/asan/qwenmesh CC=gcc WARN= OPT="-O2 -g1" \
           SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
           KERNEL_CHECKS="--param asan-instrumentation-with-call-threshold=0" SIMD_BUILD=build
TSAN    := BUILD=build/tsan PROGRAM=build/tsan/qwenmesh CC=gcc WARN= OPT="-O2 -g1" SANITIZE=-fsanitize=thread SIMD_BUILD=build
FUZZ    := BUILD=build/fuzz CC=clang WARN= OPT="-O2 -g" SANITIZE="-fsanitize=fuzzer-no-link,address,undefined \
           -fno-sanitize-recover=all" KERNEL_CHECKS="-mllvm -asan-instrumentation-with-call-threshold=0" SIMD_BUILD=build
FUZZ_SECONDS ?= 60
# The tests that start threads.
TSAN_TESTS := build/tsan/tests/test_model build/tsan/tests/test_workers build/tsan/tests/test_kv \
              build/tsan/tests/test_pack build/tsan/tests/test_pin build/tsan/tests/test_parts build/tsan/tests/test_threads \
              build/tsan/tests/test_queue build/tsan/tests/test_serve_httpd build/tsan/tests/test_generator build/tsan/tests/test_train_data \
              build/tsan/tests/test_source
REPLAYS := $(FUZZERS:fuzz_%=build/asan/fuzz/replay_%)

# Scripts run under the address sanitizer, but for those about builds and processes, and those that wait for compilers
# of plugins; test_cli.sh and test_requests.sh under both, for memory and stack that sanitizers leave no room to measure.
# The longest first, so that it does not run alone at the end. It has no build under sanitizers: test_pjrt_train and those of
# fake plugins go through the same code, and most of its time is XLA's compiler.
PLAIN_SCRIPTS := $(filter tests/test_runner.sh tests/test_isa.sh tests/test_install.sh tests/test_order.sh tests/test_circles.sh \
                 tests/test_bench.sh tests/test_compile.sh tests/test_defaults.sh tests/test_faults.sh \
                 tests/test_files.sh tests/test_opens.sh tests/test_mpi.sh tests/test_mpi_train.sh tests/test_mpi_serve.sh tests/test_pjrt%,$(SCRIPTS))
KERNEL_TESTS := build/asan/checked/test_kernels build/asan/checked/test_linear_kernels \
                build/asan/checked/test_grad_kernels build/asan/checked/test_products \
                build/asan/checked/test_attention_grad
CHECKS  := $(BUILD)/tests/test_pjrt_model $(KERNEL_TESTS) build/asan/tests/test_model \
           $(TSAN_TESTS:%="QWENMESH_SMOLLM2=none %") \
           $(foreach s,$(filter-out $(PLAIN_SCRIPTS),$(SCRIPTS)),"QWENMESH=build/asan/qwenmesh $s") $(PLAIN_SCRIPTS) \
           tests/test_cli.sh tests/test_requests.sh \
           $(filter-out build/asan/tests/test_model build/asan/tests/test_pjrt_model $(KERNEL_TESTS:build/asan/checked/%=build/asan/tests/%), \
             $(TESTS:$(BUILD)/%=build/asan/%)) \
           $(filter-out $(BUILD)/tests/test_pjrt_model,$(TESTS)) \
           $(foreach f,$(FUZZERS:fuzz_%=%),"build/asan/fuzz/replay_$f tests/fuzz/corpus/$f")

check: WERROR = -Werror
check: tests
	$(MAKE) $(ASAN) tests $(REPLAYS) $(KERNEL_TESTS)
	$(if $(TSAN_TESTS),$(MAKE) $(TSAN) $(TSAN_TESTS))
	dev/model.sh || echo "check: tests of the real model will be skipped"
	dev/plugins.sh || echo "check: tests of PJRT plugins will be skipped"
	tests/run.sh $(CHECKS)

# One call after the other fails: see tests/test_faults.sh.
check-faults: $(PROGRAM) $(BUILD)/tests/fake_faults.so
	FAULT_SAMPLES=0 bash tests/test_faults.sh

$(BUILD)/fuzz/replay_serve%: $(BUILD)/tests/fuzz/replay.o $(BUILD)/tests/fuzz/fuzz_serve%.o $(SERVEOBJ) $(OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/fuzz_serve%: $(BUILD)/tests/fuzz/fuzz_serve%.o $(SERVEOBJ) $(OBJ)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/fuzz/replay_%: $(BUILD)/tests/fuzz/replay.o $(BUILD)/tests/fuzz/fuzz_%.o $(OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(OBJ)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDFLAGS) $(LDLIBS)

fuzz: all
	$(MAKE) $(FUZZ) $(FUZZERS:%=build/fuzz/%)
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS:%=build/fuzz/%)

# The kernels beside this machine's read bandwidth and FMA peak: see bench/kernels.c.
$(BUILD)/bench/kernels: $(BUILD)/bench/kernels.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)
bench-kernels: $(BUILD)/bench/kernels
	$<

# The products of training beside this machine's FMA peak: see bench/products.c.
$(BUILD)/bench/products: $(BUILD)/bench/products.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)
bench-products: $(BUILD)/bench/products
	$<

# The time of a choice at Qwen2.5's vocabulary, per processor: see bench/processors.c.
$(BUILD)/bench/processors: $(BUILD)/bench/processors.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)
bench-processors: $(BUILD)/bench/processors
	$<

# One all-reduce between processes of this machine: see bench/transport.c.
MPIRUN ?= mpirun --oversubscribe $(if $(filter 0,$(shell id -u)),--allow-run-as-root)
$(BUILD)/bench/transport: $(BUILD)/bench/transport.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)
bench-transport: $(BUILD)/bench/transport $(MPI)
	for n in 2 4; do QWENMESH_MPI_LIBRARY=$(abspath $(MPI)) $(MPIRUN) -n $$n $<; done

# The StableHLO texts that tests/test_lower.c compares with, written anew.
golden-stablehlo: $(BUILD)/tests/test_lower
	mkdir -p tests/golden/stablehlo
	QWENMESH_GOLDEN=write $<

# ---- Installing: the same folders for install and uninstall. DESTDIR stands before every path. --------------------
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
BASHDIR    ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR     ?= $(PREFIX)/share/zsh/site-functions
FISHDIR    ?= $(PREFIX)/share/fish/vendor_completions.d
MPIDIR     := $(PREFIX)/lib/qwenmesh
PAGES      := $(addprefix $(BUILD)/pages/,man bash zsh fish)
INSTALLED  := $(BINDIR)/qwenmesh $(INCLUDEDIR)/qwenmesh.h $(LIBDIR)/libqwenmesh.a $(LIBDIR)/libqwenmesh.so.$(VERSION) \
              $(LIBDIR)/$(SONAME) $(LIBDIR)/libqwenmesh.so $(LIBDIR)/pkgconfig/qwenmesh.pc $(MPIDIR)/qwenmesh-mpi.so \
              $(MANDIR)/man1/qwenmesh.1 $(BASHDIR)/qwenmesh $(ZSHDIR)/_qwenmesh $(FISHDIR)/qwenmesh.fish

$(BUILD)/pages/%: $(PROGRAM)
	@mkdir -p $(@D)
	$(abspath $(PROGRAM)) pages $* >$@.part && mv $@.part $@

# Private: with libqwenmesh.a these must stand on the line too.
$(BUILD)/pages/qwenmesh.pc: Makefile src/qwenmesh.h FORCE
	@mkdir -p $(@D)
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR:$(PREFIX)%=$${prefix}%)' \
	    'includedir=$(INCLUDEDIR:$(PREFIX)%=$${prefix}%)' '' 'Name: qwenmesh' \
	    'Description: Qwen2.5 and its relatives, tensor-parallel on any mesh of devices' 'Version: $(VERSION)' \
	    'Cflags: -I$${includedir}' 'Libs: -L$${libdir} -lqwenmesh' 'Libs.private: $(LIBS)' >$@

install: all $(PAGES) $(BUILD)/pages/qwenmesh.pc
	install -D -m 755 $(PROGRAM) $(DESTDIR)$(BINDIR)/qwenmesh
	install -D -m 644 src/qwenmesh.h $(DESTDIR)$(INCLUDEDIR)/qwenmesh.h
	install -D -m 644 libqwenmesh.a $(DESTDIR)$(LIBDIR)/libqwenmesh.a
	install -D -m 644 $(SONAME) $(DESTDIR)$(LIBDIR)/libqwenmesh.so.$(VERSION)
	ln -sf libqwenmesh.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libqwenmesh.so
	$(if $(MPI),install -D -m 644 $(MPI) $(DESTDIR)$(MPIDIR)/qwenmesh-mpi.so)
	install -D -m 644 $(BUILD)/pages/qwenmesh.pc $(DESTDIR)$(LIBDIR)/pkgconfig/qwenmesh.pc
	install -D -m 644 $(BUILD)/pages/man $(DESTDIR)$(MANDIR)/man1/qwenmesh.1
	install -D -m 644 $(BUILD)/pages/bash $(DESTDIR)$(BASHDIR)/qwenmesh
	install -D -m 644 $(BUILD)/pages/zsh $(DESTDIR)$(ZSHDIR)/_qwenmesh
	install -D -m 644 $(BUILD)/pages/fish $(DESTDIR)$(FISHDIR)/qwenmesh.fish
	$(if $(DESTDIR),,@ldconfig 2>/dev/null || true) # the linker's cache of shared libraries, for root

uninstall:
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
	rmdir $(DESTDIR)$(MPIDIR) 2>/dev/null || true
	$(if $(DESTDIR),,@ldconfig 2>/dev/null || true)

# A package of Debian; tried in a bare system; and every compiler there is. Minutes each, so not in `check`.
deb: all $(PAGES)
	dev/deb.sh
check-bare: all $(PAGES)
	dev/check-bare.sh
check-compilers:
	dev/check-compilers.sh
# Clients from PyPI against a server (network for the first time): see dev/check_clients.sh.
check-clients: $(PROGRAM)
	dev/check_clients.sh

# The chat page in a real browser; several servers behind a real nginx. They say why they skip.
check-page: qwenmesh
	dev/check_page.sh
check-proxy: qwenmesh
	dev/check_proxy.sh


model:
	dev/model.sh
plugins:
	dev/plugins.sh
demo: qwenmesh model
	dev/demo.sh

clean:
	rm -rf $(BUILD) qwenmesh libqwenmesh.a $(SONAME) qwenmesh-mpi.so

-include $(wildcard $(BUILD)/src/*.d $(BUILD)/src/*/*.d $(BUILD)/tests/*.d $(BUILD)/tests/*/*.d)
.PHONY: FORCE all install uninstall deb check-bare check-compilers check-page check-proxy tests check fuzz bench-kernels bench-products bench-processors bench-transport golden-stablehlo model plugins demo clean check-clients
.SECONDARY:
