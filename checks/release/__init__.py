"""The release: the packages of a commit, looked at and tried, and what they are made of. Publishes nothing."""
