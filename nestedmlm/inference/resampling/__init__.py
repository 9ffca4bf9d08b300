"""Distribution of the response, resampled groups and bootstrap intervals."""
