"""Writing to Langfuse: planned first, journalled, sent so that nothing is there twice, and undone by run.

with open_journal(folder, run_id=run_id, project_id=project_id) as journal:
    journal.plan(score.write(project_id, run_id) for score in scores)   # nothing is sent yet: the dry run
    preview = preview_of(journal)                                       # what a person approves
    outcome = deliver(api, journal)                                     # again after a fault: only what is left
"""

from hansei.tools.writeback.deliver import Outcome, deliver
from hansei.tools.writeback.gate import Performing, fits, plan_of, plan_to_write, send
from hansei.tools.writeback.journal import JOURNAL, Journal, Write, find_journal, journals_folder, open_journal
from hansei.tools.writeback.preview import preview_of
from hansei.tools.writeback.queues import LONGEST_NAME, InQueue, ScoreConfig, in_queue, queue_writes
from hansei.tools.writeback.scores import PendingScore, score_id
from hansei.tools.writeback.undo import Undone, undo

__all__ = [
    "JOURNAL",
    "LONGEST_NAME",
    "InQueue",
    "Journal",
    "Outcome",
    "PendingScore",
    "Performing",
    "ScoreConfig",
    "Undone",
    "Write",
    "deliver",
    "find_journal",
    "fits",
    "in_queue",
    "journals_folder",
    "open_journal",
    "plan_of",
    "plan_to_write",
    "preview_of",
    "queue_writes",
    "score_id",
    "send",
    "undo",
]
