"""A cache with a bound, an age and a file behind it."""
