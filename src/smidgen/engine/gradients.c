// A pass over a group of images of one size: forwards, the loss, and backwards to the gradients of the learned numbers.
//
// The layers are those of engine.c, row by row in the same lanes, but every row of an image is held: the way back needs
// them all. A stage and its way back stand together. Every sum runs in one order: along a row, row after row, then over
// the lanes. A pass is one thread's.
//
//   engine.c, layers.h -> backward.h -> pass.h, losses.h -> convolutions.h -> cells.h -> gradients.c -> batches.c
#include "engine.c"

#include "cells.h"

static void stem_gradient(const Pass *pass) {
  const Network *network = pass->stream.network;
  const Plane *gradient = &pass->gradients[1];
  for (int y = 0; y < gradient->size->height; y++)
    kernel_gradient(pass, gradient, network->spec.width, plane_of(pass, 0), network->spec.channels, y, pass->sums,
                    sum_of(pass, network->stem_bias));
}

static void read_images(Pass *pass, const Job *job) {
  const Plane *plane = plane_of(pass, 0);
  if (pass->stream.images * plane->size->bands < LANES) // where other images were before
    memset(plane->memory, 0, sizeof(vec) * plane_vecs(plane));
  for (int y = 0; y < plane->size->height; y++) {
    for (int c = 0; c < plane->channels; c++)
      read_columns(&pass->stream, plane_row(plane, y, c), job->noisy, y * job->row, c, 0, plane->size->columns);
    close_row(plane, y, 1);
  }
  const Size *size = plane->size;
  for (int x = 0; x < size->columns; x++) {
    int32_t lanes[LANES];
    for (int lane = 0; lane < LANES; lane++) {
      int column = lane % size->bands * size->columns + x;
      lanes[lane] = -(column >= job->left && column < job->right && lane / size->bands < pass->stream.images);
    }
    memcpy(&pass->counted[x], lanes, sizeof lanes);
  }
}

// Add to `result` the loss of a group of images, summed over its pixels and channels, and then its gradients, in the
// order of the learned numbers. Less or nothing where the team is stopped.
static void run_pass(Pass *pass, const Job *job, double *result, Team *team) {
  int stages = pass->stream.network->num_stages, pyramid = pass->stream.network->spec.kind == PYRAMID;
  memset(pass->sums, 0, sizeof(vec) * pass->num_learned);
  read_images(pass, job);
  for (int i = 0; i < stages - 1; i++) {
    if (pyramid) cell_forward(pass, i, team);
    else convolution_forward(pass, i, team);
  }
  result[0] += head_gradient(pass, job, stages - 1, team);
  for (int i = stages - 2; i >= 0; i--) {
    if (pyramid) cell_backward(pass, i, result + 1, team);
    else convolution_backward(pass, i, team);
  }
  if (pyramid) stem_gradient(pass);
  for (size_t i = 0; i < pass->num_learned; i++) result[1 + i] += add_lanes(pass->sums[i]);
}
