"""The verbs of `LmerFit`: one file per question, plain functions bound in its class body."""
