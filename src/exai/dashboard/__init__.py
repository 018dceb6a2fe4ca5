"""The door for people and monitors."""
