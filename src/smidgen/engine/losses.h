// What a pixel costs, from what the network makes of it, and the slope of that.
#ifndef SMIDGEN_LOSSES_H
#define SMIDGEN_LOSSES_H

#include "network.h"

typedef enum { BCE, MSE } Loss; // cross-entropy of a sigmoid, from the logits; mean squared error

// log(1 + e) for e from 0 to 1 (coefficients of Cephes' logf).
INLINE vec log_of_one_and(vec e) {
  bits large = less(spread(0.41421356f), e);
  vec x = choose(large, (e - spread(1.0f)) * spread(0.5f), e), square = x * x;
  vec p = madd(spread(-1.1514610310e-1f), spread(7.0376836292e-2f), x);
  p = madd(spread(1.1676998740e-1f), p, x);
  p = madd(spread(-1.2420140846e-1f), p, x);
  p = madd(spread(1.4249322787e-1f), p, x);
  p = madd(spread(-1.6668057665e-1f), p, x);
  p = madd(spread(2.0000714765e-1f), p, x);
  p = madd(spread(-2.4999993993e-1f), p, x);
  p = madd(spread(3.3333331174e-1f), p, x);
  return x + madd(spread(-0.5f) * square, square * p, x) + keep(large, spread(0.69314718f));
}

// The loss of the network's value z, and in `slope` its derivative by z. Of a residual network it is that of the
// unclipped difference: where a clip holds a value at 0 or 1 no gradient would come through.
INLINE vec pixel_loss(const Loss loss, const Output output, vec z, vec noisy, vec clean, vec *slope) {
  if (output == RESIDUAL) {
    vec error = noisy - z - clean;
    *slope = spread(-2.0f) * error;
    return error * error;
  }
  vec p = sigmoid(z), error = p - clean;
  if (loss == MSE) {
    *slope = spread(2.0f) * error * (p * (spread(1.0f) - p));
    return error * error;
  }
  *slope = error;
  vec size = at_least(z, -z);
  vec rest = choose(is_number(z), log_of_one_and(exponential(at_least(-size, spread(-87.0f)))), z);
  return at_least(z, spread(0.0f)) - z * clean + rest;
}

#endif
