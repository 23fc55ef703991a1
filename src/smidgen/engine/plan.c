// How much memory a C file needs with more lanes (wide.h). Compiled with one lane, it counts for any.
#define LANES 1
#include "wide.h"

// In floats, and a little more than is used; 0 if there is no such spec.
size_t smidgen_wide_floats(const int32_t *spec, int height, int width, int lanes) {
  Wide wide = {.numbers = {0}};
  Arena numbers = {0}, vectors = {0};
  if (!read_spec(&wide.network.spec, spec)) return 0;
  plan_wide(&wide, spec, height, width, lanes);
  place_numbers(&wide, &numbers);
  place_vectors(&wide, &vectors);
  return (numbers.used + vectors.used * (size_t)lanes + 64) / sizeof(float);
}
