"""REML and maximum likelihood: the criterion as a graph, its optimum and its certificate."""
