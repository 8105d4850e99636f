# qwenmesh: `make` builds ./qwenmesh and libqwenmesh.a, `make check` runs all tests. See CONTRIBUTING.md.
CC      ?= gcc
BUILD   ?= build
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wconversion -Werror
PKGS    := jansson libpcre2-8 libutf8proc libcurl libcrypto libedit
CPPFLAGS += -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# No contraction: a fused multiply-add stands where the source says so, or the same bits would depend on the compiler.
CFLAGS  += -std=c11 $(OPT) $(WARN) $(SANITIZE) -ffp-contract=off -fvisibility=hidden -MMD -MP
LDLIBS  += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -ldl -lm

SRC     := $(filter-out src/main.c src/cli/% %_mpi.c,$(wildcard src/*/*.c))
CLI     := src/main.c $(wildcard src/cli/*.c)
OBJ     := $(SRC:%.c=$(BUILD)/%.o)
CLIOBJ  := $(CLI:%.c=$(BUILD)/%.o)
TESTS   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
SCRIPTS := $(wildcard tests/test_*.sh)
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
PROGRAM ?= qwenmesh
HELPERS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/http_server.c)) \
           $(patsubst tests/%.c,$(BUILD)/tests/%.so,$(wildcard tests/fake_*.c))

# Between processes: built where mpicc is, loaded only under mpirun.
MPICC   ?= $(shell command -v mpicc)
MPI     := $(if $(MPICC),$(dir $(PROGRAM))qwenmesh-mpi.so)

all: $(PROGRAM) libqwenmesh.a $(MPI)
$(PROGRAM): $(CLIOBJ) $(OBJ)
	$(CC) $(CFLAGS) -o $@ $(CLIOBJ) $(OBJ) $(LDFLAGS) $(LDLIBS)

$(MPI): src/base/transport_mpi.c src/base/transport_library.h Makefile
	$(MPICC) -D_GNU_SOURCE -std=c11 $(OPT) $(WARN) -fvisibility=hidden -fPIC -shared -o $@ $<

# The library is one object whose hidden symbols are local: only qm_ names are seen outside.
libqwenmesh.a: $(OBJ)
	ld -r -o $(BUILD)/qwenmesh.o $(OBJ) && objcopy --localize-hidden $(BUILD)/qwenmesh.o
	rm -f $@ && ar rcs $@ $(BUILD)/qwenmesh.o

# Instruction sets by file suffix: kernels_avx2.c is the only kind of file that may assume AVX2.
$(BUILD)/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$(BUILD)/%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
$(BUILD)/%_avx512vnni.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mfma -mf16c
$(BUILD)/%_avx512bf16.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mf16c
$(BUILD)/src/cpu/kernels_%.o $(BUILD)/src/ops/pack.o $(BUILD)/src/io/dtype.o $(BUILD)/src/io/quant.o \
    $(BUILD)/src/infer/scores.o $(BUILD)/src/infer/warpers.o: OPT += -O3
# Lines without variables for the debugger: these take half as long to compile.
$(BUILD)/src/cpu/kernels_%.o: OPT += -g1

# With checks around every access the unrolled kernels take minutes to compile. So a sanitizer looks at their addresses
# only, by calls; the plain C template (tests/simd16_plain.h) and the drivers get all checks.
$(BUILD)/src/cpu/kernels_%.o: LAST = $(if $(SANITIZE),-O1 -fno-sanitize=undefined $(KERNEL_CHECKS))

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA) $(LAST) -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $< $(OBJ) $(LDFLAGS) $(LDLIBS) -lcmocka

$(BUILD)/tests/%.so: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -shared -o $@ $<

tests: $(PROGRAM) $(MPI) $(TESTS) $(HELPERS)

# ---- Checks. Sanitizer builds have a folder each; the warnings are the plain build's work. --------------------------
ASAN    := BUILD=build/asan PROGRAM=build/asan/qwenmesh CC=gcc WARN= OPT="-O2 -g1" \
           SANITIZE="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" \
           KERNEL_CHECKS="--param asan-instrumentation-with-call-threshold=0"
TSAN    := BUILD=build/tsan PROGRAM=build/tsan/qwenmesh CC=gcc WARN= OPT="-O2 -g1" SANITIZE=-fsanitize=thread
FUZZ    := BUILD=build/fuzz CC=clang WARN= OPT="-O2 -g" SANITIZE="-fsanitize=fuzzer-no-link,address,undefined \
           -fno-sanitize-recover=all" KERNEL_CHECKS="-mllvm -asan-instrumentation-with-call-threshold=0"
FUZZ_SECONDS ?= 60
# The tests that start threads.
TSAN_TESTS := build/tsan/tests/test_model build/tsan/tests/test_workers build/tsan/tests/test_kv \
              build/tsan/tests/test_pack build/tsan/tests/test_pin build/tsan/tests/test_parts
REPLAYS := $(FUZZERS:fuzz_%=build/asan/fuzz/replay_%)

# The longest first, so that it does not run alone at the end.
CHECKS  := build/asan/tests/test_model $(TSAN_TESTS:%="QWENMESH_SMOLLM2=none %") $(TESTS) $(SCRIPTS) \
           $(filter-out build/asan/tests/test_model,$(TESTS:$(BUILD)/%=build/asan/%)) \
           $(foreach s,$(filter-out tests/test_runner.sh tests/test_isa.sh,$(SCRIPTS)),"QWENMESH=build/asan/qwenmesh $s") \
           $(foreach f,$(FUZZERS:fuzz_%=%),"build/asan/fuzz/replay_$f tests/fuzz/corpus/$f")

check: tests
	$(MAKE) $(ASAN) tests $(REPLAYS)
	$(if $(TSAN_TESTS),$(MAKE) $(TSAN) $(TSAN_TESTS))
	dev/model.sh || echo "check: tests of the real model will be skipped"
	dev/plugins.sh || echo "check: tests of PJRT plugins will be skipped"
	tests/run.sh $(CHECKS)

$(BUILD)/fuzz/replay_%: $(BUILD)/tests/fuzz/replay.o $(BUILD)/tests/fuzz/fuzz_%.o $(OBJ)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)

$(BUILD)/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(OBJ)
	$(CC) $(CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LDFLAGS) $(LDLIBS)

fuzz:
	$(MAKE) $(FUZZ) $(FUZZERS:%=build/fuzz/%)
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS:%=build/fuzz/%)

# The kernels beside this machine's read bandwidth and FMA peak: see bench/kernels.c.
$(BUILD)/bench/kernels: $(BUILD)/bench/kernels.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $^ $(LDFLAGS) $(LDLIBS)
bench-kernels: $(BUILD)/bench/kernels
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

model:
	dev/model.sh
plugins:
	dev/plugins.sh
demo: qwenmesh model
	dev/demo.sh

clean:
	rm -rf $(BUILD) qwenmesh libqwenmesh.a qwenmesh-mpi.so

-include $(wildcard $(BUILD)/src/*.d $(BUILD)/src/*/*.d $(BUILD)/tests/*.d $(BUILD)/tests/*/*.d)
.PHONY: all tests check fuzz bench-kernels bench-processors bench-transport golden-stablehlo model plugins demo clean
.SECONDARY:
