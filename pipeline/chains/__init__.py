"""Chains that come with the package, in TOML; see `pipeline.chain`."""
