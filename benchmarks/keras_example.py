"""The keras.io autoencoder for image denoising (28,353 parameters) on `digits-in-noise`, by its own recipe, in Keras.

    KERAS_BACKEND=tensorflow python benchmarks/keras_example.py --out RUN [--data FOLDER] [--epochs 100] [--split test]

Architecture and recipe as published at https://keras.io/examples/vision/autoencoder/: two convolutions
and two transposed ones of 32 filters, Adam, binary cross-entropy, 100 epochs in batches of 128 on noisy
images drawn once. Two things differ: the example measures on the images it publishes, here the validation
part of the task takes that place and the test part is scored once; and it first trains the same network for
50 epochs to give back clean images, which is left out. Started again, it goes on after the
last whole epoch. `RUN/run.json` is for `tools/make_results.py --add`.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow leaves oneDNN off on AMD's processors, where it halves the time.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np
from keras import layers
from record import leave_record

from smidgen.data.tasks import load_task

TASK = "digits-in-noise"
EPOCHS = 100


def build() -> keras.Model:
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(32, 3, activation="relu", padding="same")(image)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Conv2D(32, 3, activation="relu", padding="same")(x)
    x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, activation="relu", padding="same")(x)
    x = layers.Conv2DTranspose(32, 3, strides=2, activation="relu", padding="same")(x)
    return keras.Model(image, layers.Conv2D(1, 3, activation="sigmoid", padding="same")(x))


class Clock(keras.callbacks.Callback):
    """Core-seconds and losses of each epoch, in a file of one line an epoch."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._started = time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        record = {"epoch": epoch + 1, "loss": logs["loss"], "val_loss": logs["val_loss"]}
        line = json.dumps(record | {"core_seconds": time.process_time() - self._started})
        with self._file.open("a") as file:
            print(line, file=file)
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    keras.utils.set_random_seed(args.seed)
    dataset = load_task(TASK, args.data)
    train, val = dataset.train.example(len(dataset.train)), dataset.val
    model = build()
    model.compile(optimizer="adam", loss="binary_crossentropy")
    args.out.mkdir(parents=True, exist_ok=True)
    epochs = args.out / "epochs.jsonl"
    backup = keras.callbacks.BackupAndRestore(args.out / "backup")
    model.fit(
        train.noisy, train.clean, epochs=args.epochs, batch_size=128, shuffle=True,
        validation_data=(val.noisy, val.clean), callbacks=[Clock(epochs), backup], verbose=0,
    )  # fmt: skip
    pairs = dataset.test if args.split == "test" else val
    kind = "keras.io example" + (f", {args.epochs} of its {EPOCHS} epochs" if args.epochs < EPOCHS else "")
    history = [json.loads(line) for line in epochs.read_text().splitlines()]
    denoised = np.asarray(model.predict(pairs.noisy, batch_size=500, verbose=0), np.float32)
    leave_record(
        args.out, denoised, pairs, task=TASK, split=args.split, kind=kind,
        num_parameters=model.count_params(), history=history,
        settings={"seed": args.seed, "threads": 1, "epochs": args.epochs, "batch_size": 128},
    )  # fmt: skip


if __name__ == "__main__":
    main()
