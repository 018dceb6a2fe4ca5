"""Votes of models on one question: who is asked, what a vote is, how votes are counted, and the rounds of asking."""
