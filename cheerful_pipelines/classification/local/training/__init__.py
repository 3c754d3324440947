"""How the shipped weights were made: invented utterances and the script that learns from them. Not used at run time."""
