"""The one way to a language model: its endpoint, calls with retries, answers that fit a schema, and what they cost.

A model is asked for words and choices, never for numbers. Whatever goes wrong is a `hansei.errors.ModelFailed`.
"""

from hansei.contracts.spent import Usage
from hansei.tools.language_model.endpoint import Endpoint, close_models, endpoint_of
from hansei.tools.language_model.prompt import Prompt, read_prompt
from hansei.tools.language_model.structured import ModelAnswer, ask, ask_fitting
from hansei.tools.language_model.usage import ModelMeter, model_meter_of

__all__ = [
    "Endpoint", "ModelAnswer", "ModelMeter", "Prompt", "Usage", "ask", "ask_fitting", "close_models",
    "endpoint_of", "model_meter_of", "read_prompt",
]  # fmt: skip
