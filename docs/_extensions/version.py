"""
Show the version that the site describes, beside its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncbatch

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the version of the installed package behind the name of the site."""
    config.site_name = f"{config.site_name} {asyncbatch.__version__}"
    return config
