# fvdtool: one GNU Makefile. `make help` lists the targets.
VERSION := 1.0
BUILD ?= build
CC ?= cc
CFLAGS ?= -O2 -g
PKGS := popt
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Wall -Wextra -Wshadow -Wvla -Wformat=2 \
	-Wundef -Wwrite-strings -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes \
	-Ilib -pthread -MMD -MP $(CFLAGS) $(if $(WERROR),-Werror) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LIB_SRC := $(wildcard lib/*/*.c)
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
Q := $(if $(V),,@)

all: $(BUILD)/libfvd.a

$(BUILD)/libfvd.a: $(LIB_OBJ)
	@rm -f $@
	$(Q)ar rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC      $<")
	$(Q)$(CC) $(ALL_CFLAGS) -c -o $@ $<

-include $(LIB_OBJ:.o=.d)
