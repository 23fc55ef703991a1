"""The digit reader that ships with the package; `tools/train_reader.py` makes it."""
