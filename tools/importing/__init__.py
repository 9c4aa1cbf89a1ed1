"""Bringing a project into an embedded ClickHouse without access to Langfuse's: from its API or its exports."""

from hansei.tools.importing.from_api import Span, import_from_api
from hansei.tools.importing.from_files import import_from_files
from hansei.tools.importing.store import Counted, Store, open_store

__all__ = ["Counted", "Span", "Store", "import_from_api", "import_from_files", "open_store"]
