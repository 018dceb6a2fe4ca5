"""Tables of identity: principals, tokens, keys, revocations and sign-in tickets."""
