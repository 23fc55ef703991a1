"""The exercise's way to choose a model, as its author would write it: nested loops around Keras.

    python nested_loop_keras.py PAIRS.npz RESULT.json

`PAIRS.npz` holds X_train, y_train, X_val, y_val, on 0..1. Needs requirements-keras.txt, nothing of ours.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import layers

EPOCHS = (10, 20)
BATCH_SIZES = (64, 128)
OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
}
RATES = (1e-2, 1e-3, 1e-4)


def build():
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(2),
            layers.Conv2D(8, 3, activation="relu", padding="same"),
            layers.UpSampling2D(2),
            layers.Conv2D(16, 3, activation="relu", padding="same"),
            layers.UpSampling2D(2),
            layers.Conv2D(1, 3, activation="sigmoid", padding="same"),
        ]
    )


def main():
    data = np.load(sys.argv[1])
    started = time.time()
    found = []
    for epochs in EPOCHS:
        for batch_size in BATCH_SIZES:
            for optimizer in OPTIMIZERS:
                for rate in RATES:
                    keras.utils.set_random_seed(0)
                    model = build()
                    model.compile(OPTIMIZERS[optimizer](rate), loss="binary_crossentropy")
                    history = model.fit(
                        data["X_train"], data["y_train"], epochs=epochs, batch_size=batch_size, verbose=0,
                        validation_data=(data["X_val"], data["y_val"]),
                    )  # fmt: skip
                    loss = min(history.history["val_loss"])
                    found.append((loss, epochs, batch_size, optimizer, rate))
                    print(f"{time.time() - started:7.0f} s  {found[-1]}", flush=True)
    result = {"seconds": time.time() - started, "best": min(found), "trials": found, "parameters": model.count_params()}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
