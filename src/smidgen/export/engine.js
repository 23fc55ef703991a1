// Runs a network's layers on images in plain JavaScript. Tensors are Float32Array, rows of pixels
// of channels. `model` is {channels, layers, weights: {name: Float32Array}}; a layer is
// {kind, output, inputs, channels, scale, kernel, weight, bias, gain}. Kernels stand as
// (output, row, column, input), depthwise ones as (row, column, channel).
"use strict";

function denoise(model, noisy, height, width) {
  const values = {noisy: {data: noisy, height, width, channels: model.channels}};
  const lastUse = {};
  model.layers.forEach((layer, number) => layer.inputs.forEach(name => { lastUse[name] = number; }));
  model.layers.forEach((layer, number) => {
    const inputs = layer.inputs.map(name => values[name]);
    values[layer.output] = runLayer(layer, inputs, model.weights, height, width);
    for (const name of layer.inputs) if (lastUse[name] === number) delete values[name];
  });
  return values.denoised.data;
}

function runLayer(layer, inputs, weights, imageHeight, imageWidth) {
  const step = 2 ** layer.scale;
  const height = Math.ceil(imageHeight / step), width = Math.ceil(imageWidth / step);
  const [x] = inputs;
  const data = new Float32Array(height * width * layer.channels);
  const out = {data, height, width, channels: layer.channels};
  const kernel = weights[layer.weight], bias = weights[layer.bias], gain = weights[layer.gain];
  switch (layer.kind) {
    case "conv": convolve(x, out, layer.kernel, kernel, bias, gain); break;
    case "gated_conv": {
      const both = {data: new Float32Array(2 * data.length), height, width, channels: 2 * layer.channels};
      convolve(x, both, layer.kernel, kernel, bias, gain);
      multiplyHalves(both.data, data, layer.channels);
      break;
    }
    case "depthwise": depthwise(x, out, layer.kernel, kernel); break;
    case "relu": for (let i = 0; i < data.length; i++) data[i] = Math.max(0, x.data[i]); break;
    case "rms_norm": normalise(x.data, data, layer.channels); break;
    case "add": for (let i = 0; i < data.length; i++) data[i] = x.data[i] + inputs[1].data[i]; break;
    case "max_pool": pool(x, out, true); break;
    case "mean_pool": pool(x, out, false); break;
    case "upsample_nearest": upsampleNearest(x, out); break;
    case "upsample_bilinear": upsampleBilinear(x, out); break;
    case "sigmoid": for (let i = 0; i < data.length; i++) data[i] = 1 / (1 + Math.exp(-x.data[i])); break;
    case "residual":
      for (let i = 0; i < data.length; i++) data[i] = Math.min(1, Math.max(0, x.data[i] - inputs[1].data[i]));
      break;
    default: throw new Error(`unknown layer ${layer.kind}`);
  }
  return out;
}

function convolve(x, out, side, kernel, bias, gain) {
  const {height, width, channels: to} = out, from = x.channels, input = x.data, output = out.data;
  const half = side >> 1, size = side * side * from;
  let place = 0;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let o = 0; o < to; o++) {
        let sum = 0;
        if (side === 1) {
          const pixel = (row * width + column) * from, part = o * from;
          for (let c = 0; c < from; c++) sum += input[pixel + c] * kernel[part + c];
        } else {
          for (let dy = Math.max(0, half - row); dy < Math.min(side, height + half - row); dy++) {
            for (let dx = Math.max(0, half - column); dx < Math.min(side, width + half - column); dx++) {
              const pixel = ((row + dy - half) * width + column + dx - half) * from;
              const part = o * size + (dy * side + dx) * from;
              for (let c = 0; c < from; c++) sum += input[pixel + c] * kernel[part + c];
            }
          }
        }
        output[place++] = (gain ? gain[o] * sum : sum) + (bias ? bias[o] : 0);
      }
    }
  }
}

function depthwise(x, out, side, kernel) {
  const {height, width, channels} = out, input = x.data, output = out.data, half = side >> 1;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const place = (row * width + column) * channels;
      for (let dy = Math.max(0, half - row); dy < Math.min(side, height + half - row); dy++) {
        for (let dx = Math.max(0, half - column); dx < Math.min(side, width + half - column); dx++) {
          const pixel = ((row + dy - half) * width + column + dx - half) * channels;
          const part = (dy * side + dx) * channels;
          for (let c = 0; c < channels; c++) output[place + c] += input[pixel + c] * kernel[part + c];
        }
      }
    }
  }
}

function multiplyHalves(both, output, channels) {
  for (let p = 0, i = 0; p < both.length; p += 2 * channels)
    for (let c = 0; c < channels; c++) output[i++] = both[p + c] * both[p + channels + c];
}

function normalise(input, output, channels) {
  for (let p = 0; p < input.length; p += channels) {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += input[p + c] * input[p + c];
    const factor = 1 / Math.sqrt(sum / channels + RMS_EPSILON);
    for (let c = 0; c < channels; c++) output[p + c] = input[p + c] * factor;
  }
}

// Two by two pixels; the mean counts zeros beyond the edge, the maximum does not.
function pool(x, out, maximum) {
  const {height, width, channels} = x, input = x.data, output = out.data;
  let place = 0;
  for (let row = 0; row < height; row += 2) {
    for (let column = 0; column < width; column += 2) {
      for (let c = 0; c < channels; c++) {
        let sum = 0, most = -Infinity;
        for (let y = row; y < Math.min(row + 2, height); y++) {
          for (let z = column; z < Math.min(column + 2, width); z++) {
            const value = input[(y * width + z) * channels + c];
            sum += value;
            if (value > most) most = value;
          }
        }
        output[place++] = maximum ? most : sum / 4;
      }
    }
  }
}

function upsampleNearest(x, out) {
  const {height, width, channels} = out;
  let place = 0;
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++)
      for (let c = 0; c < channels; c++)
        out.data[place++] = x.data[((row >> 1) * x.width + (column >> 1)) * channels + c];
}

// A pixel takes 3/4 of the nearer and 1/4 of the further one, both ways; the edge is repeated.
function upsampleBilinear(x, out) {
  const {height, width, channels} = out, input = x.data, output = out.data;
  const further = (i, size) => Math.min(size - 1, Math.max(0, (i >> 1) + (i & 1 ? 1 : -1)));
  let place = 0;
  for (let row = 0; row < height; row++) {
    const nearRow = (row >> 1) * x.width, farRow = further(row, x.height) * x.width;
    for (let column = 0; column < width; column++) {
      const near = column >> 1, far = further(column, x.width);
      const a = (nearRow + near) * channels, b = (nearRow + far) * channels;
      const c = (farRow + near) * channels, d = (farRow + far) * channels;
      for (let i = 0; i < channels; i++) {
        output[place++] = 0.5625 * input[a + i] + 0.1875 * (input[b + i] + input[c + i]) + 0.0625 * input[d + i];
      }
    }
  }
}

// {channels, layers, tensors: [[name, size]], numbers: base64 of all float32, little end first}
function unpackModel(packed) {
  const bytes = decodeBase64(packed.numbers);
  const weights = {};
  let start = 0;
  for (const [name, size] of packed.tensors) {
    weights[name] = new Float32Array(bytes.buffer.slice(start, start + 4 * size));
    start += 4 * size;
  }
  return {channels: packed.channels, layers: packed.layers, weights};
}

function decodeBase64(text) {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const bytes = new Uint8Array(Math.floor((text.replace(/=+$/, "").length * 3) / 4));
  for (let i = 0, place = 0; i < text.length; i += 4) {
    let word = 0;
    for (let j = 0; j < 4; j++) word = (word << 6) | Math.max(0, digits.indexOf(text[i + j]));
    for (let j = 2; j >= 0 && place < bytes.length; j--) bytes[place++] = (word >> (8 * j)) & 255;
  }
  return bytes;
}
