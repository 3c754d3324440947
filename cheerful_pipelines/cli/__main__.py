"""`python -m cheerful_pipelines.cli` is `cheerful`."""

from cheerful_pipelines.cli import main

main()
