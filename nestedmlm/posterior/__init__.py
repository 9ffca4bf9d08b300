"""What posterior draws say, as pure functions of (DataTree, design)."""
