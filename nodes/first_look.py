"""The first look of detectors that screen the data by queries of their own, where it is needed before the analysts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from hansei.errors import ConnectionFailed, HanseiError
from hansei.nodes.scope import Screened
from hansei.tools.at_once import at_once
from hansei.tools.langfuse.dataset import Dataset
from hansei.tools.playbook.catalogue import DETECTORS
from hansei.tools.playbook.model import Detector, Screening


def first_look(names: Iterable[str], dataset: Dataset) -> dict[str, Screened]:
    """What these detectors' own screens give, side by side. One whose query fails is left out: its analyst looks again.

    Args:
        names: detectors; those that read the profile are passed over.
        dataset: what is looked at.

    Raises:
        ConnectionFailed: ClickHouse is gone.
    """
    wanted = set(names)
    detectors = [one for one in DETECTORS if one.name in wanted and one.screen_data is not None]
    found, failed = at_once([partial(_look, detector, dataset) for detector in detectors])
    if failed is not None:
        raise failed
    return {
        detector.name: screened_as(screening, [candidate.model_dump() for candidate in screening.candidates])
        for detector, looked in zip(detectors, found, strict=True)
        for screening in looked or ()
    }


def screened_as(screening: Screening, candidates: list[dict[str, object]], left_out: str = "") -> Screened:
    """A look as the state keeps it."""
    return {
        "status": "partial" if left_out else screening.status,
        "reason": "; ".join(part for part in (screening.reason, left_out) if part),
        "slices": screening.slices,
        "candidates": candidates,
    }


def _look(detector: Detector, dataset: Dataset) -> tuple[Screening, ...]:
    assert detector.screen_data is not None
    try:
        return (detector.screen_data(dataset),)
    except ConnectionFailed:
        raise
    except HanseiError:
        return ()
