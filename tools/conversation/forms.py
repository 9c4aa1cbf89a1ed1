"""The forms of questions that are understood without a model, by example: for help, documentation and tests."""

from __future__ import annotations

FORMS: dict[str, tuple[tuple[str, str], ...]] = {
    "en": (
        ("examples", "Show me five of those."),
        ("breakdown", "Is it only Japanese users?"),
        ("breakdown", "Is it the model?"),
        ("breakdown", "Why not the model?"),
        ("breakdown", "Cost by model"),
        ("breakdown", "Which users?"),
        ("compare", "Compare v6 and v7 on cost."),
        ("day", "What changed on the 14th?"),
        ("measure", "Error rate over time"),
        ("measure", "How much does app \"checkout\" cost?"),
        ("about", "Tell me about the second one."),
        ("about", "Why?"),
        ("about", "What should I do about it?"),
        ("about", "How do you know?"),
        ("trace", "Show trace 0af7651916cd43dd"),
        ("dataset", "Make a dataset from the second finding."),
        ("dataset", "Send these to Langfuse."),
        ("list", "Which findings are there?"),
        ("list", "What was refuted?"),
        ("list", "What was not looked at?"),
        ("list", "Help"),
    ),
    "ja": (
        ("examples", "例を5つ見せて"),
        ("breakdown", "日本語のユーザーだけですか？"),
        ("breakdown", "なぜモデルではないのか"),
        ("breakdown", "モデル別のコスト"),
        ("breakdown", "どのユーザー？"),
        ("compare", "v6とv7をコストで比べて"),
        ("day", "14日に何が変わった？"),
        ("measure", "エラー率の推移"),
        ("about", "2番目について教えて"),
        ("about", "それはなぜ？"),
        ("about", "どうすればいい？"),
        ("about", "クエリを見せて"),
        ("trace", "トレース 0af7651916cd43dd を見せて"),
        ("dataset", "2番目の問題からデータセットを作って"),
        ("dataset", "これらをLangfuseに送って"),
        ("list", "問題を見せて"),
        ("list", "棄却されたものは？"),
        ("list", "見ていないものは？"),
        ("list", "ヘルプ"),
    ),
}  # fmt: skip
"""Language → (form, an example)."""


def examples(language: str) -> list[str]:
    """An example of every form, in a language."""
    return [example for _, example in FORMS[language]]
