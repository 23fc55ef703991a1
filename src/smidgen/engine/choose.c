// Which builds of the engine this processor can run, best first.
const char *smidgen_levels(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  int v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  int v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return v4 ? "v4 v3 v2" : v3 ? "v3 v2" : __builtin_cpu_supports("sse4.2") ? "v2" : "";
#elif defined(__aarch64__)
  return "neon";
#else
  return "plain";
#endif
}
