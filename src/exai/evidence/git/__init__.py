"""Git repositories, read without running anything: no program, hook, filter or text conversion."""
