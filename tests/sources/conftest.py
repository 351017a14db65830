"""Small model directories."""

from config_dirs import config_dir

__all__ = ["config_dir"]
