# qwenmesh: `make` builds ./qwenmesh and libqwenmesh.a, `make check` runs all tests. See CONTRIBUTING.md.
CC      ?= gcc
BUILD   ?= build
OPT     ?= -O2 -g
WARN    := -Wall -Wextra -Wshadow -Wconversion -Werror
PKGS    := jansson libpcre2-8 libutf8proc libcurl libcrypto libedit
CPPFLAGS += -D_GNU_SOURCE $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
# No contraction: a fused multiply-add stands where the source says so, or the same bits would depend on the compiler.
CFLAGS  += -std=c11 $(OPT) $(WARN) -ffp-contract=off -fvisibility=hidden -MMD -MP
LDLIBS  += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -ldl -lm

SRC     := $(filter-out src/main.c src/cli/%,$(wildcard src/*/*.c))
CLI     := src/main.c $(wildcard src/cli/*.c)
OBJ     := $(SRC:%.c=$(BUILD)/%.o)
CLIOBJ  := $(CLI:%.c=$(BUILD)/%.o)
TESTS   := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/test_*.c))
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))

all: qwenmesh
qwenmesh: $(CLIOBJ) libqwenmesh.a
	$(CC) $(CFLAGS) -o $@ $(CLIOBJ) $(OBJ) $(LDFLAGS) $(LDLIBS)

# The library is one object whose hidden symbols are local: only qm_ names are seen outside.
libqwenmesh.a: $(OBJ)
	ld -r -o $(BUILD)/qwenmesh.o $(OBJ) && objcopy --localize-hidden $(BUILD)/qwenmesh.o
	rm -f $@ && ar rcs $@ $(BUILD)/qwenmesh.o

# Instruction sets by file suffix: kernels_avx2.c is the only kind of file that may assume AVX2.
$(BUILD)/%_avx2.o: ISA = -mavx2 -mfma -mf16c
$(BUILD)/%_avx512.o: ISA = -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c
$(BUILD)/src/cpu/kernels_%.o $(BUILD)/src/ops/pack.o: OPT += -O3

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(ISA) -c -o $@ $<

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(OBJ)
	$(CC) $(CFLAGS) -o $@ $< $(OBJ) $(LDFLAGS) $(LDLIBS) -lcmocka

tests: $(TESTS) qwenmesh
clean:
	rm -rf $(BUILD) qwenmesh libqwenmesh.a

-include $(OBJ:.o=.d) $(CLIOBJ:.o=.d) $(TESTS:=.d)
.PHONY: all tests clean check fuzz
.SECONDARY:
