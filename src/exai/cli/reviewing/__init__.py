"""What `exai review` is made of: what is reviewed, how the daemon is asked, and how findings are shown."""
