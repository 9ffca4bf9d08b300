"""From a table and a formula to matrices: `Design` with its learned `Schema`."""
