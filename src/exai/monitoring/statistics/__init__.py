"""Statistics: pure functions of numbers, without a library, since a daemon carries none for them.

Tests judge them by scipy, and intervals by how often they hold a truth that is known.
"""
