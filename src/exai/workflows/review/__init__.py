"""What a review says, and what of it is shown: findings, how two are one, and why one is withheld.

Nothing here asks, reads or stores anything.
"""
