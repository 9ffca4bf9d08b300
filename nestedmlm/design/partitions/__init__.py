"""Data that come in partitions: where they are, how one is read, what is learned of all."""
