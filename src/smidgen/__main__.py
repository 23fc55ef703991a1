"""`python -m smidgen`."""

from smidgen.cli.main import main

if __name__ == "__main__":  # the workers of a search import this module too
    raise SystemExit(main())
