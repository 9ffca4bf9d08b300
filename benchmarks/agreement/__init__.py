"""Live agreement with R: each module compares one theme of verbs with its R packages."""
