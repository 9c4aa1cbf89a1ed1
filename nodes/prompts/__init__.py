"""What the nodes tell a model: one file per call, with a tagged system and user section. Values stand for {{names}}."""

from pathlib import Path

PROMPTS = Path(__file__).parent

LANGUAGES = {"en": "English", "ja": "Japanese"}
"""What a prompt calls the language that the words are to be in."""
