"""Numbers of posterior draws: pure functions of (DataTree, design)."""
