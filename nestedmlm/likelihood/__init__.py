"""The criterion of a design at given theta: elimination, kernels, PyTensor Ops, solution."""
