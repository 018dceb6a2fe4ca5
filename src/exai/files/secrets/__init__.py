"""Looks for secrets in what is about to leave: known forms of keys and tokens, more with Kingfisher."""
