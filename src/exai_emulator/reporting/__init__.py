"""Personas that find, judge, obey, follow and explore: what each says is a function of the request alone."""
