"""What is made of answers without a model; a definition names it as a stage of the kind `treat`."""
