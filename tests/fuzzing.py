"""Every reader of foreign files as a function of bytes, with honest files to begin from.

Whatever the bytes, a reader returns or raises `SmidgenError`. `tests/test_fuzzing.py` tries hundreds of
spoilt files with each, `tools/fuzz.py` hundreds of thousands.
"""

from tests.fuzzing_images import IMAGES
from tests.fuzzing_records import RECORDS

READERS = IMAGES | RECORDS
