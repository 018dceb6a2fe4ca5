"""Looks for the cause of a group of faults with a model: what it is shown, what it may answer, and what holds of that.

Everything here is pure or asks through a protocol; who gathers evidence and who asks a model is built by `exai.app`.
"""
