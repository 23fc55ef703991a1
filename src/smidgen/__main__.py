"""`python -m smidgen`."""

import sys

from smidgen.cli.main import main

sys.exit(main())
