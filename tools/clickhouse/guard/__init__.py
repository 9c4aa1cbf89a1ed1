"""The guard: SQL of a model or a person goes in, SQL that can only read its own project comes out, or a refusal.

docs/security.md tells what it holds to, and what it leaves to the session.
"""

from hansei.tools.clickhouse.guard.bound import HOLE, Trusted
from hansei.tools.clickhouse.guard.guard import Admitted, Guard
from hansei.tools.clickhouse.guard.parser import Parser, parser_of

__all__ = ["HOLE", "Admitted", "Guard", "Parser", "Trusted", "parser_of"]
