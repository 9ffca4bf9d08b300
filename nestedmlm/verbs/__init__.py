"""The verbs of `LmerFit` by theme (layer 7): mixins without state that call `inference`."""
