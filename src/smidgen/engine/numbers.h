// Learned numbers as a C file holds them.
#ifndef SMIDGEN_NUMBERS_H
#define SMIDGEN_NUMBERS_H

#include <stdint.h>

// Rows of a matrix as the model file has them: float, or int8_t with a factor for each row.
typedef struct {
  const void *numbers;
  const float *factors; // NULL: float
} Matrix;

// Row `row` of a matrix times its factor and its gain, if it has any; in `buffer` unless it is there as it is.
static const float *load_row(const Matrix *matrix, const float *gain, int row, int count, float *buffer) {
  float factor = gain ? gain[row] : 1.0f;
#if SMIDGEN_INT8
  if (matrix->factors) {
    const int8_t *from = (const int8_t *)matrix->numbers + row * count;
    factor *= matrix->factors[row];
    for (int i = 0; i < count; i++) buffer[i] = factor * (float)from[i];
    return buffer;
  }
#endif
  const float *from = (const float *)matrix->numbers + row * count;
  if (!gain) return from;
  for (int i = 0; i < count; i++) buffer[i] = factor * from[i];
  return buffer;
}

#endif
