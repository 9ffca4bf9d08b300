"""Columns of a table: read, evaluated, coded as factors and numbers.

`nestedmlm.design.schema` and `nestedmlm.design` put the pieces together; nothing else imports from
here.
"""
