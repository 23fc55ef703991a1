// A vector of LANES floats that are computed side by side, and the few operations the engine needs.
//
// A lane never looks at another one: each holds its own columns of an image, or an image of its own
// (see planes.h). So the results do not depend on LANES, and with one lane this is plain C99. No sum is
// left to the compiler to reorder or to contract: `madd` is the only multiply-add, fused wherever the
// processor has one.
#ifndef SMIDGEN_LANES_H
#define SMIDGEN_LANES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifndef LANES
#define LANES 1
#endif
#if LANES > 1 && defined(__SSE2__)
#include <immintrin.h>
#endif
#if LANES > 1 && defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif
#if LANES > 1 && defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
#endif

// Not every function is needed by everything that is made of these files.
#if defined(__GNUC__)
#define FUNCTION static __attribute__((unused))
#else
#define FUNCTION static
#endif
#if LANES == 1 && defined(__OPTIMIZE_SIZE__)
#define INLINE FUNCTION inline
#define UNROLL
#elif defined(__clang__)
#define INLINE FUNCTION inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define INLINE FUNCTION inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")
#else
#define INLINE FUNCTION inline
#define UNROLL
#endif

// Columns that a matrix product keeps in registers: six outputs of each, next to what they are made from.
#if defined(__AVX512F__) || defined(__aarch64__)
#define TILE 4
#else
#define TILE 2
#endif

#if LANES == 1
typedef float vec;
typedef int32_t bits;
INLINE vec spread(float value) { return value; }
#else
typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t bits __attribute__((vector_size(4 * LANES)));
#if LANES == 4
INLINE vec spread(float v) { return (vec){v, v, v, v}; }
#elif LANES == 8
INLINE vec spread(float v) { return (vec){v, v, v, v, v, v, v, v}; }
#elif LANES == 16
INLINE vec spread(float v) { return (vec){v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v}; }
#endif
#endif

// sum + a * b
INLINE vec madd(vec sum, vec a, vec b) {
#if LANES == 16 && defined(__AVX512F__)
  return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)sum);
#elif LANES == 8 && defined(__FMA__)
  return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)sum);
#elif LANES == 4 && defined(__aarch64__)
  return (vec)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b);
#elif LANES == 1 && (defined(__FMA__) || defined(FP_FAST_FMAF))
  return fmaf(a, b, sum);
#else
  return sum + a * b;
#endif
}

INLINE bits as_bits(vec value) {
  bits result;
  memcpy(&result, &value, sizeof result);
  return result;
}

INLINE vec as_vec(bits value) {
  vec result;
  memcpy(&result, &value, sizeof result);
  return result;
}

// keep: the lanes whose mask is all ones; 0 in the others. choose: `yes` in the lanes whose mask is all ones, `no` in the
// others.
#if LANES == 1
INLINE vec keep(bits mask, vec value) { return mask ? value : 0.0f; }
INLINE vec choose(bits mask, vec yes, vec no) { return mask ? yes : no; }
#else
INLINE vec keep(bits mask, vec value) { return as_vec(as_bits(value) & mask); }
INLINE vec choose(bits mask, vec yes, vec no) { return as_vec((as_bits(yes) & mask) | (as_bits(no) & ~mask)); }
#endif

#if LANES == 1
INLINE bits less(vec a, vec b) { return -(a < b); }
INLINE bits is_number(vec a) { return -(a == a); }
INLINE vec root(vec a) { return sqrtf(a); }
#else
INLINE bits less(vec a, vec b) { return a < b; }
INLINE bits is_number(vec a) { return a == a; }
INLINE vec root(vec a) {
#if LANES == 16 && defined(__AVX512F__)
  return (vec)_mm512_sqrt_ps((__m512)a);
#elif LANES == 8 && defined(__AVX2__)
  return (vec)_mm256_sqrt_ps((__m256)a);
#elif LANES == 4 && defined(__aarch64__)
  return (vec)vsqrtq_f32((float32x4_t)a);
#elif LANES == 4 && defined(__SSE2__)
  return (vec)_mm_sqrt_ps((__m128)a);
#elif LANES == 4 && defined(__wasm_simd128__)
  return (vec)wasm_f32x4_sqrt((v128_t)a);
#else
  UNROLL for (int i = 0; i < LANES; i++) a[i] = sqrtf(a[i]);
  return a;
#endif
}
#endif

#if LANES == 1
INLINE vec at_least(vec a, vec low) { return a < low ? low : a; }
INLINE vec at_most(vec a, vec high) { return high < a ? high : a; }
#else
INLINE vec at_least(vec a, vec low) { return choose(less(a, low), low, a); }
INLINE vec at_most(vec a, vec high) { return choose(less(high, a), high, a); }
#endif

// a * 2**n for n rounded by adding 1.5 * 2**23, which left it in the lowest bits of `n`.
INLINE vec times_power_of_two(vec a, vec n) {
#if LANES == 1
  return as_vec((int32_t)((uint32_t)as_bits(a) + ((uint32_t)as_bits(n) << 23)));
#else
  return as_vec(as_bits(a) + (as_bits(n) << 23));
#endif
}

// Each lane takes the value of the lane `by` before it; 0 where there is none.
INLINE vec shift_lanes(vec value, int by) {
#if LANES == 16 && defined(__AVX512F__)
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i from = _mm512_sub_epi32(lanes, _mm512_set1_epi32(by));
  __mmask16 there = _mm512_cmplt_epu32_mask(from, _mm512_set1_epi32(16));
  return (vec)_mm512_maskz_permutexvar_ps(there, from, (__m512)value);
#elif LANES == 8 && defined(__AVX2__)
  __m256i from = _mm256_sub_epi32(_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_set1_epi32(by));
  __m256i there = _mm256_andnot_si256(_mm256_cmpgt_epi32(from, _mm256_set1_epi32(7)),
                                      _mm256_cmpgt_epi32(from, _mm256_set1_epi32(-1)));
  return keep((bits)there, (vec)_mm256_permutevar8x32_ps((__m256)value, from));
#else
  float from[3 * LANES] = {0};
  if (by <= -LANES || by >= LANES) return spread(0.0f);
  memcpy(from + LANES, &value, sizeof value);
  memcpy(&value, from + LANES - by, sizeof value);
  return value;
#endif
}

// The sum over the lanes: of halves, of their halves and so on.
INLINE float add_lanes(vec value) {
#if LANES == 16 && defined(__AVX512DQ__)
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256((__m512)value), _mm512_extractf32x8_ps((__m512)value, 1));
#elif LANES == 8 && defined(__AVX2__)
  __m256 eight = (__m256)value;
#endif
#if (LANES == 16 && defined(__AVX512DQ__)) || (LANES == 8 && defined(__AVX2__))
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
#else
  float lanes[LANES];
  memcpy(lanes, &value, sizeof lanes);
  for (int half = LANES / 2; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
#endif
}

// exp(y) for y from -87 to 87. exp(r + n ln 2) = 2**n exp(r) with |r| <= ln(2) / 2 and a polynomial of degree 6 for
// exp(r) - 1 - r (coefficients of Cephes' expf); adding and subtracting 1.5 * 2**23 rounds to a whole number.
INLINE vec exponential(vec y) {
  const vec rounder = spread(12582912.0f);
  vec rounded = madd(rounder, y, spread(1.44269504f)), n = rounded - rounder;
  y = madd(y, n, spread(-0.693359375f));
  y = madd(y, n, spread(2.12194440e-4f));
  vec p = spread(1.9875691500e-4f);
  p = madd(spread(1.3981999507e-3f), p, y);
  p = madd(spread(8.3334519073e-3f), p, y);
  p = madd(spread(4.1665795894e-2f), p, y);
  p = madd(spread(1.6666665459e-1f), p, y);
  p = madd(spread(5.0000001201e-1f), p, y);
  p = madd(y, p * y, y) + spread(1.0f);
  return times_power_of_two(p, rounded);
}

// 1 / (1 + exp(-x))
INLINE vec sigmoid(vec x) {
  vec power = exponential(at_most(at_least(-x, spread(-87.0f)), spread(87.0f)));
  return choose(is_number(x), spread(1.0f) / (spread(1.0f) + power), x);
}

#endif
