"""The verbs of `LmerFit` by theme: mixins without state that call `inference`."""
