import numpy as np

from smidgen.data.pairs import Dataset, FixedSource
from tests.conftest import make_pairs


def test_an_epoch_shows_every_pair_once(generator: np.random.Generator):
    """Each epoch is a new order of all pairs, noisy and clean together, the last batch smaller."""
    pairs = make_pairs(10, generator)
    source = FixedSource(pairs)
    batches = list(source.batches(4, generator))
    assert [len(clean) for _, clean in batches] == [4, 4, 2]
    seen = {noisy.tobytes(): clean.tobytes() for batch in batches for noisy, clean in zip(*batch, strict=True)}
    assert seen == {n.tobytes(): c.tobytes() for n, c in zip(pairs.noisy, pairs.clean, strict=True)}
    again = np.concatenate([noisy for noisy, _ in source.batches(4, generator)])
    assert not np.array_equal(again, np.concatenate([noisy for noisy, _ in batches]))


def test_description_states_the_sizes(small_dataset: Dataset):
    """What is recorded of a data set tells its shape and the size of each part."""
    described = small_dataset.origin
    assert described.sizes == {"train": 40, "val": 10, "test": 10}
    assert described.shape == (8, 8, 1)
    noisy = small_dataset.train.example(40).noisy
    assert described.means["noisy"] == round(float(noisy.mean()), 4)
