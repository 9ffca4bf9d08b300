"""One document (`View` of frozen blocks) in four formats, and R's rules for printing numbers."""
