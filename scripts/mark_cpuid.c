/* Write over CPUID in the libraries of other engines, for scripts/hold_cpu where the CPU cannot have it fault.
 *
 * The dynamic linker tells an auditing library (rtld-audit(7)) of each object once it is mapped, before any of
 * its code runs. Two bytes that look like CPUID may be part of a longer instruction: a disassembler says which
 * are not, once for each library; HOLD_CPU_FOLDER keeps what it said.
 */
#define _GNU_SOURCE
#include "hold_cpu.h"
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const engines[] = {"onnxruntime", "openvino", "libtbb"};
static const char places[] = "unset LD_AUDIT LD_PRELOAD; kept=\"$HOLD_CPU_FOLDER/${1##*/}\"; [ -e \"$kept\" ] || "
                             "{ objdump -d --no-show-raw-insn \"$1\" | awk -F: '/\\tcpuid/ { print $1 }' >\"$kept.$$\" "
                             "&& mv \"$kept.$$\" \"$kept\"; }; cat \"$kept\"";

static void mark(unsigned char *code) {
    static const unsigned char cpuid[2] = {0x0F, 0xA2};
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)code & ~(page - 1);
    size_t size = (uintptr_t)code + sizeof MARK - begin;
    if (memcmp(code, cpuid, sizeof cpuid) || mprotect((void *)begin, size, PROT_READ | PROT_WRITE | PROT_EXEC)) {
        fprintf(stderr, "hold_cpu: cannot write over the CPUID at %p\n", (void *)code);
        _exit(2);
    }
    memcpy(code, MARK, sizeof MARK);
    mprotect((void *)begin, size, PROT_READ | PROT_EXEC);
}

unsigned la_version(unsigned version) { return version; }

unsigned la_objopen(struct link_map *map, Lmid_t namespace, uintptr_t *cookie) {
    (void)namespace, (void)cookie;
    int is_engine = 0;
    for (unsigned i = 0; i < sizeof engines / sizeof *engines; i++) {
        const char *name = strrchr(map->l_name, '/');
        is_engine |= name && strstr(name, engines[i]);
    }
    if (!is_engine || !syscall(SYS_arch_prctl, ARCH_SET_CPUID, 1)) return 0;
    setenv("HOLD_CPU_LIBRARY", map->l_name, 1);
    char command[sizeof places + 64];
    snprintf(command, sizeof command, "set -- \"$HOLD_CPU_LIBRARY\"; %s", places);
    FILE *lines = popen(command, "r");
    unsigned long place;
    while (lines && fscanf(lines, "%lx", &place) == 1) mark((unsigned char *)map->l_addr + place);
    if (!lines || pclose(lines)) {
        fprintf(stderr, "hold_cpu: objdump and awk are needed to read %s\n", map->l_name);
        _exit(2);
    }
    return 0;
}
