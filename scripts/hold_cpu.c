/* Have a process see a CPU without the extensions behind x86-64-v3 or v4: scripts/hold_cpu.
 *
 * Libraries choose their kernels by the CPUID instruction. Linux lets a thread make it fault (arch_prctl(2),
 * ARCH_SET_CPUID, where the CPU can); threads it starts inherit that. Where the CPU cannot, the instruction is
 * written over in the engines' libraries as they are loaded (mark_cpuid.c), and what it is written over with is
 * illegal. The handler runs CPUID in its place and takes bits of leaf 7 away (Intel SDM, volume 2A, "CPUID").
 * Handlers that a program sets for its own faults get those alone. Kernels that were chosen before this library
 * is loaded, those of the C library, stay as they are.
 */
#define _GNU_SOURCE
#include "hold_cpu.h"
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(n) (1u << (n))

typedef struct {
    unsigned eax, ebx, ecx, edx;
} Registers;

static const char *const levels[] = {"x86-64-v3", "x86-64-v3-vnni", "x86-64-v4", "x86-64-v4-vnni"};
static Registers hidden[2]; /* by subleaf of leaf 7 */
static int fault = SIGSEGV; /* what CPUID raises: SIGILL where it is written over */
static struct sigaction programs; /* what the program wants done with its own faults */
static int (*set_action)(int, const struct sigaction *, struct sigaction *);

static void let_cpuid(int allowed) { syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

/* AMX: BF16, TILE, INT8; FP16 */
static void hide_amx(void) {
    hidden[0].edx |= BIT(22) | BIT(24) | BIT(25);
    hidden[1].eax |= BIT(21);
}

/* AVX-VNNI, its INT8 and INT16 forms */
static void hide_vex_vnni(void) {
    hidden[1].eax |= BIT(4);
    hidden[1].edx |= BIT(4) | BIT(10);
}

/* AVX512: F, DQ, IFMA, CD, BW, VL; VBMI, VBMI2, VNNI, BITALG, VPOPCNTDQ; VP2INTERSECT, FP16; BF16 */
static void hide_avx512(void) {
    hidden[0].ebx |= BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31);
    hidden[0].ecx |= BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14);
    hidden[0].edx |= BIT(8) | BIT(23);
    hidden[1].eax |= BIT(5);
}

static void answer(int signal_number, siginfo_t *info, void *context) {
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *code = (const unsigned char *)r[REG_RIP];
    int is_cpuid = fault == SIGSEGV ? info->si_addr != code && code[0] == 0x0F && code[1] == 0xA2
                                    : code[0] == MARK[0] && code[1] == MARK[1];
    if (!is_cpuid) { /* a fault of the program's own */
        if (programs.sa_handler == SIG_DFL || programs.sa_handler == SIG_IGN)
            set_action(signal_number, &programs, NULL);
        else
            programs.sa_sigaction(signal_number, info, context);
        return;
    }
    Registers found;
    unsigned leaf = (unsigned)r[REG_RAX], subleaf = (unsigned)r[REG_RCX];
    let_cpuid(1);
    __cpuid_count(leaf, subleaf, found.eax, found.ebx, found.ecx, found.edx);
    let_cpuid(0);
    if (leaf == 7 && subleaf < 2) {
        found.eax &= ~hidden[subleaf].eax;
        found.ebx &= ~hidden[subleaf].ebx;
        found.ecx &= ~hidden[subleaf].ecx;
        found.edx &= ~hidden[subleaf].edx;
    }
    r[REG_RAX] = found.eax, r[REG_RBX] = found.ebx, r[REG_RCX] = found.ecx, r[REG_RDX] = found.edx;
    r[REG_RIP] += 2;
}

int sigaction(int signal_number, const struct sigaction *action, struct sigaction *before) {
    if (!set_action) set_action = dlsym(RTLD_NEXT, "sigaction");
    if (signal_number != fault) return set_action(signal_number, action, before);
    struct sigaction last = programs;
    if (action) programs = *action;
    if (before) *before = last;
    return 0;
}

sighandler_t signal(int signal_number, sighandler_t handler) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, before;
    return sigaction(signal_number, &action, &before) ? SIG_ERR : before.sa_handler;
}

__attribute__((constructor)) static void hold(void) {
    const char *level = getenv("HOLD_CPU");
    int known = 0;
    for (unsigned i = 0; level && i < sizeof levels / sizeof *levels; i++)
        known |= !strcmp(level, levels[i]);
    if (!known) {
        fprintf(stderr, "HOLD_CPU must be x86-64-v3, x86-64-v3-vnni, x86-64-v4 or x86-64-v4-vnni\n");
        _exit(2);
    }
    hide_amx();
    if (strncmp(level, "x86-64-v4", 9)) hide_avx512();
    if (strcmp(level, "x86-64-v3-vnni")) hide_vex_vnni();
    if (strcmp(level, "x86-64-v4-vnni")) hidden[0].ecx |= BIT(11);
    if (syscall(SYS_arch_prctl, ARCH_SET_CPUID, 0)) fault = SIGILL;
    struct sigaction action = {.sa_sigaction = answer, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
    if (!set_action) set_action = dlsym(RTLD_NEXT, "sigaction");
    set_action(fault, &action, NULL);
}
