"""Layer 2's workshop: how columns of data become factors, numbers and coded matrix columns.

`nestedmlm.design.schema` and `nestedmlm.design` put the pieces together; nothing else imports from
here.
"""
