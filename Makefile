# vouch: a verifying backup filesystem.
#
#   make            build/vouch and build/libvouch.a
#   make install    DESTDIR= PREFIX=/usr/local
#   make check      lint and the quick tests: no root, no FUSE, under a minute
#   make test       all tests (sh tests/run.sh)
#   make demo       the main job on real input (sh tools/demo.sh)
#   make bench      side-by-side speed;  make torture  long-running attacks
#
# Knobs: V=1 (show the commands), B (build folder), CC, CFLAGS, CPPFLAGS, LDFLAGS, WERROR=1, SAN=address,undefined or SAN=thread, PARANOID=1.

B ?= build
Q := $(if $(V),,@)
PREFIX ?= /usr/local
VERSION := 0.1.0

CFLAGS ?= -O2 -g
PKGS := fuse3 libcrypto libzstd sqlite3 libxxhash jansson libisal inih libcurl
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS))
STORE_LIBS := $(shell pkg-config --libs libcrypto libzstd sqlite3 libxxhash jansson libisal)
FUSE_LIBS := $(shell pkg-config --libs fuse3)
TOOLS_LIBS := $(shell pkg-config --libs inih libcurl)

WARN := -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wvla -Wcast-qual \
	-Wmissing-prototypes -Wundef -Wstrict-prototypes
ifeq ($(WERROR),1)
WARN += -Werror
endif
ifdef SAN
SANFLAGS := -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
HARDEN :=
else
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection
endif
ALL_CPPFLAGS := -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DVOUCH_VERSION='"$(VERSION)"' -DFUSE_USE_VERSION=314 -I. $(PKG_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS := -std=c11 -pthread -fPIE $(WARN) $(HARDEN) $(SANFLAGS) $(CFLAGS)
ALL_LDFLAGS := -pthread -pie -Wl,-z,relro -Wl,-z,now $(SANFLAGS) $(LDFLAGS)

STORE_SRC := $(sort $(wildcard store/*.c store/*/*.c))
FS_SRC := $(sort $(wildcard fs/*.c))
TOOLS_SRC := $(sort $(wildcard tools/*.c tools/*/*.c))
STORE_OBJ := $(STORE_SRC:%.c=$(B)/%.o)
FS_OBJ := $(FS_SRC:%.c=$(B)/%.o)
TOOLS_OBJ := $(TOOLS_SRC:%.c=$(B)/%.o)
UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c tests/fault/test_*.c tests/corrupt/test_*.c))
UNIT_BIN := $(UNIT_SRC:%.c=$(B)/%)
TESTLIB_OBJ := $(patsubst %.c,$(B)/%.o,$(sort $(wildcard tests/lib/*.c)))

all: $(B)/vouch

$(B)/libvouch.a: $(STORE_OBJ)
	@rm -f $@
	@echo "AR $@"
	$(Q)$(AR) rcs $@ $^

# For the tests' programs: the linker takes what is asked for
$(B)/libtools.a: $(filter-out $(B)/tools/main.o,$(TOOLS_OBJ)) $(FS_OBJ)
	@rm -f $@
	@echo "AR $@"
	$(Q)$(AR) rcs $@ $^

$(B)/vouch: $(TOOLS_OBJ) $(FS_OBJ) $(B)/libvouch.a
	@echo "LD $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(TOOLS_OBJ) $(FS_OBJ) $(B)/libvouch.a $(STORE_LIBS) $(FUSE_LIBS) $(TOOLS_LIBS)

$(B)/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC $<"
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/%: $(B)/tests/%.o $(TESTLIB_OBJ) $(B)/libtools.a $(B)/libvouch.a
	@echo "LD $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< $(TESTLIB_OBJ) $(B)/libtools.a $(B)/libvouch.a $(STORE_LIBS) \
		-Wl,--as-needed $(FUSE_LIBS) $(TOOLS_LIBS) -lcmocka

# Libraries that stand in front of libc's calls; not for a build with a sanitizer, which does so itself
$(B)/tests/fault/%.so: tests/fault/%.c tests/fault/watched.h
	@mkdir -p $(@D)
	@echo "SO $@"
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE -I. $(WARN) -O2 -g -fPIC -shared -pthread -o $@ $< -ldl

unit: $(UNIT_BIN)

-include $(shell [ -d $(B) ] && find $(B) -name '*.d')

.PHONY: all unit install check test demo bench torture clean
.SECONDARY:

check: all unit
	sh tests/check.sh $(B)
test:
	sh tests/run.sh
demo:
	sh tools/demo.sh
bench: all
	tests/bench/paths $(B)/vouch
	tests/bench/mount $(B)/vouch
torture:
	sh tests/torture.sh

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7
	install -d $(DESTDIR)$(PREFIX)/sbin
	install -m 755 $(B)/vouch $(DESTDIR)$(PREFIX)/bin/vouch
	ln -sf ../bin/vouch $(DESTDIR)$(PREFIX)/sbin/mount.fuse.vouch
	for n in 1 5 7; do install -m 644 man/*.$$n $(DESTDIR)$(PREFIX)/share/man/man$$n/; done

clean:
	rm -rf $(B)
