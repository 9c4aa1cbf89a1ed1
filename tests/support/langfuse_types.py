"""Checks requests and answers against the installed SDK's types, which are generated from Langfuse's public API."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from langfuse.api.annotation_queues.client import AnnotationQueuesClient
from langfuse.api.annotation_queues.types.create_annotation_queue_item_request import CreateAnnotationQueueItemRequest
from langfuse.api.annotation_queues.types.create_annotation_queue_request import CreateAnnotationQueueRequest
from langfuse.api.core.pydantic_utilities import parse_obj_as
from langfuse.api.core.serialization import FieldMetadata
from langfuse.api.dataset_items.client import DatasetItemsClient
from langfuse.api.dataset_items.types.create_dataset_item_request import CreateDatasetItemRequest
from langfuse.api.datasets.client import DatasetsClient
from langfuse.api.datasets.types.create_dataset_request import CreateDatasetRequest
from langfuse.api.experiments.client import ExperimentsClient
from langfuse.api.health.client import HealthClient
from langfuse.api.observations.client import ObservationsClient
from langfuse.api.projects.client import ProjectsClient
from langfuse.api.prompt_version.client import PromptVersionClient
from langfuse.api.prompts.client import PromptsClient
from langfuse.api.prompts.types.create_prompt_request import CreatePromptRequest
from langfuse.api.score_configs.client import ScoreConfigsClient
from langfuse.api.score_configs.types.create_score_config_request import CreateScoreConfigRequest
from langfuse.api.scores.client import ScoresClient
from langfuse.api.scores.types.create_scores_request import CreateScoresRequest
from pydantic import BaseModel, ValidationError


@dataclass(frozen=True)
class Route:
    """An endpoint: how its path looks (`{}` is an id or a name), and the method of the SDK that speaks to it."""

    name: str
    verb: str
    path: str
    method: Callable[..., Any]
    body: Any = None
    """The type of the request's body; `dict` for one that the SDK has no type for."""

    @property
    def queries(self) -> set[str]:
        """The names of the query's parameters, as they are on the wire."""
        if self.body is not None:
            return set()
        parameters = inspect.signature(self.method).parameters.values()
        named = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "request_options"]
        return {camel(name) for name in named}

    @property
    def answer(self) -> Any:
        return typing.get_type_hints(self.method)["return"]


ROUTES = (
    Route("health", "GET", "health", HealthClient.health),
    Route("projects", "GET", "projects", ProjectsClient.get),
    Route("create_scores", "POST", "scores", ScoresClient.create, CreateScoresRequest),
    Route("delete_score", "DELETE", "scores/{}", ScoresClient.delete),
    Route("list_scores", "GET", "v3/scores", ScoresClient.get_many),
    Route("list_observations", "GET", "v2/observations", ObservationsClient.get_many),
    Route("create_dataset", "POST", "v2/datasets", DatasetsClient.create, CreateDatasetRequest),
    Route("list_datasets", "GET", "v2/datasets", DatasetsClient.list),
    Route("get_dataset", "GET", "v2/datasets/{}", DatasetsClient.get),
    Route("create_item", "POST", "dataset-items", DatasetItemsClient.create, CreateDatasetItemRequest),
    Route("list_items", "GET", "dataset-items", DatasetItemsClient.list),
    Route("get_item", "GET", "dataset-items/{}", DatasetItemsClient.get),
    Route("delete_item", "DELETE", "dataset-items/{}", DatasetItemsClient.delete),
    Route("list_experiments", "GET", "experiments", ExperimentsClient.list),
    Route("list_experiment_items", "GET", "experiment-items", ExperimentsClient.list_items),
    Route("create_prompt", "POST", "v2/prompts", PromptsClient.create, CreatePromptRequest),
    Route("list_prompts", "GET", "v2/prompts", PromptsClient.list),
    Route("get_prompt", "GET", "v2/prompts/{}", PromptsClient.get),
    Route("label_prompt", "PATCH", "v2/prompts/{}/versions/{}", PromptVersionClient.update, dict),
    Route("create_config", "POST", "score-configs", ScoreConfigsClient.create, CreateScoreConfigRequest),
    Route("list_configs", "GET", "score-configs", ScoreConfigsClient.get),
    Route("get_config", "GET", "score-configs/{}", ScoreConfigsClient.get_by_id),
    Route(
        "create_queue", "POST", "annotation-queues", AnnotationQueuesClient.create_queue, CreateAnnotationQueueRequest
    ),
    Route("list_queues", "GET", "annotation-queues", AnnotationQueuesClient.list_queues),
    Route("get_queue", "GET", "annotation-queues/{}", AnnotationQueuesClient.get_queue),
    Route(
        "create_queue_item",
        "POST",
        "annotation-queues/{}/items",
        AnnotationQueuesClient.create_queue_item,
        CreateAnnotationQueueItemRequest,
    ),
    Route("list_queue_items", "GET", "annotation-queues/{}/items", AnnotationQueuesClient.list_queue_items),
    Route("get_queue_item", "GET", "annotation-queues/{}/items/{}", AnnotationQueuesClient.get_queue_item),
    Route("delete_queue_item", "DELETE", "annotation-queues/{}/items/{}", AnnotationQueuesClient.delete_queue_item),
)


def camel(name: str) -> str:
    """`from_start_time` as the wire has it: `fromStartTime`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def problems(kind: Any, data: Any) -> list[str]:
    """What is wrong with plain data as a value of a type: it does not fit, or it has fields that are not declared."""
    if kind is None or kind is type(None):
        return []
    if kind is dict:
        return [] if isinstance(data, dict) else ["is no object"]
    try:
        parsed = parse_obj_as(kind, data)
    except ValidationError as error:
        return [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
    return list(_undeclared(parsed, data, "$"))


def _undeclared(value: Any, data: Any, place: str) -> Iterator[str]:
    if isinstance(value, list) and isinstance(data, list):
        for index, (one, raw) in enumerate(zip(value, data, strict=True)):
            yield from _undeclared(one, raw, f"{place}[{index}]")
    if not isinstance(value, BaseModel) or not isinstance(data, dict):
        return
    names = _wire_names(type(value))
    for key, raw in data.items():
        if key not in names:
            yield f"{place}.{key} is not declared"
        else:
            yield from _undeclared(getattr(value, names[key]), raw, f"{place}.{key}")


def _wire_names(kind: type[BaseModel]) -> dict[str, str]:
    hints = typing.get_type_hints(kind, include_extras=True)
    names = {}
    for field in kind.model_fields:
        marks = [mark for mark in getattr(hints[field], "__metadata__", ()) if isinstance(mark, FieldMetadata)]
        names[marks[0].alias if marks else field] = field
    return names
