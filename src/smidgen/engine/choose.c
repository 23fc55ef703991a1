// Which builds of the engine this processor can run, best first. Asked of the processor itself: what compilers offer for
// it (`__builtin_cpu_supports`) is left empty by some of them in shared libraries.
#if defined(__x86_64__)
#include <cpuid.h>

static int has(unsigned bits, unsigned wanted) { return (bits & wanted) == wanted; }

// Which registers the system saves: bit 1 SSE, 2 AVX, 5 to 7 AVX-512.
static unsigned saved_registers(void) {
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

const char *smidgen_levels(void) {
  unsigned a, b, c, d, features, more = 0, extended = 0;
  if (!__get_cpuid(1, &a, &b, &features, &d)) return "";
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) more = b;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d)) extended = c;
  if (!has(features, bit_SSE4_2 | bit_POPCNT)) return "";
  int v3 = has(features, bit_OSXSAVE | bit_AVX | bit_FMA | bit_MOVBE | bit_F16C) &&
           has(more, bit_AVX2 | bit_BMI | bit_BMI2) && has(extended, bit_LZCNT) && has(saved_registers(), 0x06);
  int v4 = v3 && has(more, bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL) &&
           has(saved_registers(), 0xe6);
  return v4 ? "v4 v3 v2" : v3 ? "v3 v2" : "v2";
}
#elif defined(__aarch64__)
const char *smidgen_levels(void) { return "neon"; }
#else
const char *smidgen_levels(void) { return "plain"; }
#endif
