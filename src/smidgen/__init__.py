"""Learn, judge and ship image denoisers that fit a parameter budget."""

__version__ = "0.1.0"
