"""Files of this machine, opened and read within the allowed roots."""
