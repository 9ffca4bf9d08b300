"""Numbers for rows and groups: prediction, residuals, deletion, conditional modes."""
