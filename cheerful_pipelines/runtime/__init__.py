"""The processes that carry Dagster, and where they reach into it: worker, daemon, launchers."""
