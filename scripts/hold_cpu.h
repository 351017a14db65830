/* What hold_cpu.c and mark_cpuid.c agree on. */
#define ARCH_SET_CPUID 0x1012
/* UD0 in the place of CPUID, as long: no compiler writes it, unlike UD2 (Intel SDM, volume 2B, "UD"). */
static const unsigned char MARK[2] = {0x0F, 0xFF};
