// Where pixels lie. A plane holds some rows of a tensor (channels x columns), each element a vec.
//
// A group of images of one size is computed at once. Its lanes are divided among `images` images and, of
// each, `bands` bands side by side: lane l holds band l % bands of image l / bands, and column x of a band
// is column (l % bands) * columns + x of its image. So one image 16 lanes wide is cut into 16 bands, and 16
// small images lie in 16 lanes. Neighbouring columns are neighbouring vecs, and no layer moves values
// across lanes: only the margins, which repeat the columns that lie across a band's border, are filled by
// shifting lanes. What lies outside an image is 0, and `inside` says where that is.
#ifndef SMIDGEN_PLANES_H
#define SMIDGEN_PLANES_H

#include <stddef.h>

#include "lanes.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ROUND_UP(a, step) (((a) + (step) - 1) / (step) * (step))

enum {
  BLOCK = 8,  // columns that go through a cell at a time
  // Columns before and after what is meant that a block may read: it begins up to 1 early, where k / 2 is odd, and ends
  // up to 3 late as it is, 7 late where the scale below is read or the result is made. What it makes of them is dropped.
  SLACK = 16,
};

// The images of a group, seen at one scale.
typedef struct {
  int height, width;
  int bands, columns;   // of a band; bands * columns >= width
  const bits *inside;   // inside[x]: all ones in the lanes where column x of the band is in the image
  const uint8_t *whole; // whole[x]: all lanes of column x are inside
} Size;

// The lanes in which column x of the band is in the image.
INLINE bits is_inside(const Size *size, int x) {
#if LANES == 1
  return -(x >= 0 && x < size->width);
#else
  return size->inside[x];
#endif
}

// Whether columns `first` to `last` are inside in all lanes.
INLINE int are_inside(const Size *size, int first, int last) {
#if LANES == 1
  return first >= 0 && last < size->width;
#else
  return size->whole[first] & size->whole[last];
#endif
}

// Rows of a tensor; row y is kept where row y - rows was.
typedef struct {
  const Size *size;
  int channels, rows, margin;
  vec *memory;
} Plane;

INLINE int plane_pitch(const Plane *plane) { return plane->size->columns + 2 * plane->margin; }

INLINE size_t plane_vecs(const Plane *plane) {
  return (size_t)plane->rows * (size_t)(plane->channels * plane_pitch(plane)) + SLACK;
}

// Column 0 of a channel of row y; columns -margin to columns + margin - 1 may be read.
INLINE vec *plane_row(const Plane *plane, int y, int channel) {
  ptrdiff_t line = (ptrdiff_t)(y % plane->rows) * plane->channels + channel;
  return plane->memory + line * plane_pitch(plane) + plane->margin;
}

// Repeat columns x0 to x1 of a row in `margin` columns across the bands' borders.
FUNCTION void fill_margins(const Plane *plane, int y, int channel, int x0, int x1, int margin) {
  const Size *size = plane->size;
  vec *row = plane_row(plane, y, channel);
  int columns = size->columns;
  if (size->bands == 1) return; // nothing is across, and the margins are zeros from the start
  if (x0 == 0 && x1 == columns && margin <= columns) { // the usual case, written out
    for (int i = 0; i < margin; i++) {
      row[i - margin] = keep(size->inside[i - margin], shift_lanes(row[columns + i - margin], 1));
      row[columns + i] = keep(size->inside[columns + i], shift_lanes(row[i], -1));
    }
    return;
  }
  for (int x = x0; x < x1; x++) {
    if (x >= margin && x < columns - margin) continue;
    int shift = 1;
    for (int m = x - columns; m >= -margin; m -= columns) row[m] = keep(size->inside[m], shift_lanes(row[x], shift++));
    shift = -1;
    for (int m = x + columns; m < columns + margin; m += columns)
      row[m] = keep(size->inside[m], shift_lanes(row[x], shift--));
  }
}

#endif
