"""Every definition of a relation that Hansei may have written into the SQL of a report."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from hansei.errors import QueryRefused
from hansei.tools.clickhouse import Reader
from hansei.tools.clickhouse.guard import HOLE, Admitted, Guard, Trusted, parser_of
from hansei.tools.langfuse.dataset import RELATIONS
from hansei.tools.langfuse.relations import NEARBY, Adapter, Needs
from hansei.tools.langfuse.v3 import V3
from hansei.tools.langfuse.v4 import V4

_NEEDS = tuple(
    Needs(trace=trace, totals=totals, tools=tools, only=only)
    for only in ("", HOLE)
    for trace, totals, tools in itertools.product((False, True), repeat=3)
)


class ReportGuard:
    """Lets through the SQL of a report's evidence, which anybody may have edited since it was written.

    Definitions of relations must be among those that Hansei writes over the same database; the rest is checked like any
    SQL that a stranger wrote. The project is the report's, whatever the evidence's parameters say.
    """

    def __init__(self, reader: Reader, project_id: str) -> None:
        parser = parser_of(reader)
        names = {*RELATIONS, *NEARBY, *(f"raw_{name}" for name in RELATIONS)}
        self._guard = Guard(parser)
        self._trusted = Trusted(names, definitions(reader.target.database), parser.parse)
        self._project_id = project_id

    def admit(self, sql: str, parameters: Mapping[str, Any]) -> Admitted:
        """What may be asked again for one evidence.

        Raises:
            QueryRefused: the SQL or a parameter is not what Hansei writes; nothing was executed.
        """
        if parameters.get("project_id", self._project_id) != self._project_id:
            raise QueryRefused(
                "The query is about another project than the report.",
                "Leave the parameter project_id as it was written.",
                reason="parameter",
            )
        return self._guard.admit_bound(sql, self._trusted, parameters)


def definitions(database: str) -> Iterator[tuple[str, str]]:
    """Name and definition of each relation, in all forms, over both schemas. Several are equal.

    Where a condition of the query's own may stand in one, it holds the name `HOLE`.
    """
    for adapter in _adapters(database):
        for needs in _NEEDS:
            yield from adapter.definitions(RELATIONS, needs).items()
        yield from adapter.definitions(frozenset(NEARBY), Needs()).items()
        for name in sorted(RELATIONS):
            yield f"raw_{name}", adapter.raw(name)


def _adapters(database: str) -> Iterator[Adapter]:
    """The adapters with every combination of what may have been found out about the data when the report was made."""
    for plain in (V3(database), V4(database)):
        flags = [field.name for field in fields(plain) if isinstance(getattr(plain, field.name), bool)]
        for values in itertools.product((False, True), repeat=len(flags)):
            chosen: dict[str, Any] = dict(zip(flags, values, strict=True))
            yield replace(plain, **chosen)
